"""A landing zone of one kind and day, written by hand and read back."""

import gzip
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from components.ingest.accounting import Accounting
from components.ingest.columns import Target
from components.ingest.logs import Day, Ingested, Write, read_day
from components.profile import Kind, Profile

DAY = date(2024, 5, 2)


def make_profile(**changes: Any) -> Profile:
    """Return a profile with every canonical column and one context column of each type."""
    ids = {"user_id": "user", "item_id": "item"}
    kinds: dict[str, Any] = {
        "impressions": {
            "columns": {**ids, "impression_id": "id", "exposed_at": "time", "position": "position"},
            "context": {"scene": "string", "rank": "integer", "price": "float", "fresh": "boolean"},
        },
        "clicks": {"columns": {**ids, "impression_id": "id", "clicked_at": "time"}},
        "actions": {"columns": {**ids, "action_id": "id", "acted_at": "time"}},
        "purchases": {"columns": {**ids, "order_id": "id", "purchased_at": "time", "amount": "amount"}},
    }
    return Profile.model_validate({"name": "shop", "fields": [{"name": "item_id", "kind": "id"}], **kinds, **changes})


def collect_each(slices: Iterable[pl.LazyFrame]) -> list[pl.DataFrame]:
    """Collect the slices one after the other, as the lake does."""
    return [rows.collect(engine="streaming") for rows in slices]


@dataclass(frozen=True)
class Read:
    """What came of a day."""

    accepted: pl.DataFrame
    quarantined: pl.DataFrame
    accounting: list[Accounting]
    hours: tuple[int, ...]
    num_slices: int

    @property
    def reasons(self) -> list[tuple[int, str]]:
        """Row number and reason of the quarantined rows."""
        return self.quarantined.select("row", "reason").rows()


@dataclass
class Landing:
    """One arrival day of a landing zone."""

    root: Path
    profile: Profile
    day: date = DAY
    chunk_rows: int = 1000
    file_rows: int = 100_000
    way: Callable[[Day, Write[list[pl.DataFrame]]], Ingested[list[pl.DataFrame]]] = read_day

    def folder(self, kind: Kind = "impressions") -> Path:
        """Return the day's folder."""
        return self.root / "raw" / kind / f"day={self.day}"

    def write(self, name: str, content: str | bytes, kind: Kind = "impressions") -> Path:
        """Write a raw file, compressed as its name says."""
        plain = content.encode() if isinstance(content, str) else content
        path = self.folder(kind) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(compressed(name, plain))
        return path

    def read(self, kind: Kind = "impressions") -> Read:
        """Read the day, check the accounting and collect."""
        number = len(list(self.root.glob("scratch-*")))
        scratch = self.root / f"scratch-{number}"
        scratch.mkdir()
        target = Target(kind, self.day, self.profile)
        found = self.way(Day(self.folder(kind), target, scratch, self.chunk_rows, self.file_rows), collect_each)
        quarantined = found.quarantined.collect(engine="streaming")
        return Read(pl.concat(found.accepted), quarantined, found.accounting, found.hours, len(found.accepted))


def compressed(name: str, plain: bytes) -> bytes:
    """Return bytes compressed as a file's name says."""
    if name.endswith(".gz"):
        return gzip.compress(plain)
    return bytes(pa.compress(plain, codec="zstd", asbytes=True)) if name.endswith(".zst") else plain


def parquet(frame: pl.DataFrame) -> bytes:
    """Return a frame as a Parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    """An empty landing zone."""
    return Landing(tmp_path, make_profile())


@pytest.fixture(scope="session")
def landing_at() -> Callable[[Path], Landing]:
    """An empty landing zone in a folder."""
    return lambda root: Landing(root, make_profile())


@pytest.fixture
def landing_with(tmp_path: Path) -> Callable[..., Landing]:
    """An empty landing zone of a profile with the changes asked for."""
    return lambda **changes: Landing(tmp_path, make_profile(**changes))


@pytest.fixture
def as_parquet() -> Callable[[pl.DataFrame], bytes]:
    """A frame -> the bytes of a Parquet file."""
    return parquet
