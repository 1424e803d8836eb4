"""Small logs for the label tests, as the lake keeps them, and their labelling. Literal ones tell times in seconds from the day's start."""

import io
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from components.label.events import Labelling, Log
from components.label.samples import label_samples
from components.profile import Kind
from components.settings import Labels
from components.tables import INSTANT

DAY = date(2024, 5, 1)
START = datetime(2024, 5, 1, tzinfo=UTC)
END = datetime(2024, 5, 2, tzinfo=UTC)
_KEYED = {"impression_id": pl.String, "user_id": pl.String, "item_id": pl.String}
KINDS: tuple[Kind, ...] = ("impressions", "clicks", "actions", "purchases")
SCHEMAS: dict[str, dict[str, Any]] = {
    "impressions": {**_KEYED, "exposed_at": INSTANT, "position": pl.Int32, "scene": pl.String, "arrived_on": pl.Date},
    "clicks": {"click_id": pl.String, **_KEYED, "clicked_at": INSTANT, "arrived_on": pl.Date},
    "actions": {"action_id": pl.String, **_KEYED, "acted_at": INSTANT, "arrived_on": pl.Date},
    "purchases": {"order_id": pl.String, **_KEYED, "purchased_at": INSTANT, "amount": pl.Float64, "arrived_on": pl.Date},
}


def at(seconds: float) -> datetime:
    """Return the instant this long after the start of the day."""
    return START + timedelta(seconds=seconds)


def frame(kind: str, rows: Sequence[Sequence[Any] | dict[str, Any]]) -> pl.LazyFrame:
    """Make a log of rows that are complete and in the schema's order."""
    return pl.LazyFrame(rows, schema=SCHEMAS[kind], orient=None if rows and isinstance(rows[0], dict) else "row")


def impression(name: str, exposed: float, user: str | None = "u", item: str = "i", arrived: date = DAY) -> tuple[Any, ...]:
    """Return a row of `impressions`."""
    return (name, user, item, at(exposed), 1, "home", arrived)


def event(
    name: str | None, when: float, of: str | None = None, user: str | None = "u", item: str = "i", arrived: date = DAY
) -> tuple[Any, ...]:
    """Return a row of `clicks` or `actions`; `of` is the impression it names."""
    return (name, of, user, item, at(when), arrived)


def purchase(
    name: str, when: float, of: str | None = None, user: str | None = "u", item: str = "i", arrived: date = DAY
) -> tuple[Any, ...]:
    """Return a row of `purchases`."""
    return (name, of, user, item, at(when), 9.5, arrived)


def deliver(kind: str, rows: pl.LazyFrame) -> Log:
    """Sort a log by arrival day, each day as ingest leaves it: a key once, by time and key."""
    key, at = next(iter(SCHEMAS[kind])), next(name for name in SCHEMAS[kind] if name.endswith("_at"))
    ordered = rows.collect().sort(at, key, pl.exclude(at, key))
    days = {day: ordered.filter(arrived_on=day) for day in ordered["arrived_on"].unique()} or {DAY: ordered}
    first = {day: pl.int_range(pl.len()).over(key) == 0 for day in days}
    return {day: kept.filter(pl.col(key).is_null() | first[day]).lazy() for day, kept in days.items()}


def label(logs: Mapping[str, pl.LazyFrame], windows: Labels, *, through: datetime = END, file_rows: int = 1_000_000) -> list[pl.DataFrame]:
    """Return the slices of the day's samples."""
    delivered = {kind: deliver(kind, logs[kind]) for kind in KINDS}
    with tempfile.TemporaryDirectory() as scratch:
        slices = label_samples(delivered, Labelling(DAY, through, windows), file_rows=file_rows, scratch=Path(scratch))
        return [piece.rows.collect(engine="streaming") for piece in slices]


def serialise(slices: Sequence[pl.DataFrame]) -> list[bytes]:
    """Return the slices as Parquet files."""
    files = [io.BytesIO() for _ in slices]
    for piece, file in zip(slices, files, strict=True):
        piece.lazy().sink_parquet(file, engine="streaming", row_group_size=64)
    return [file.getvalue() for file in files]
