"""Writes one arrival day of each kind of log, in chunks, in its own format and with the faults of `faults.py`. Same rows, same bytes."""

import gzip
import shutil
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import IO, Protocol, Self

import numpy as np
import polars as pl
import zstandard

from components.profile import EVENT_KEY, EVENT_TIME, Kind
from components.simulate.faults import Written, break_lines, break_rows, csv_breakers, json_breakers, repeat_rows

_ISO = "%Y-%m-%dT%H:%M:%S%.3fZ"
_ORDER_NAMES = {"order_id": "order_no", "user_id": "buyer", "item_id": "article", "purchased_at": "paid_at", "amount": "total"}


class _Files(Protocol):
    """Files of one kind and day that grow by chunks."""

    def append(self, log: pl.DataFrame, rng: np.random.Generator) -> tuple[int, int]:
        """Write a chunk with its broken rows; return the rows written and the broken among them."""

    def close(self) -> None:
        """Complete the files."""


class DayLog:
    """`<out>/<kind>/day=<day>/`, replaced by the events that arrive that day."""

    def __init__(self, out: Path, kind: Kind, day: date) -> None:
        """Empty the folder."""
        folder = out / kind / f"day={day}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.written = Written(0, 0, 0, 0)
        self._time, self._altered = EVENT_TIME[kind], _altered(kind, day)
        self._files: _Files = _Parquet(folder) if kind == "impressions" else _Text(folder, kind)

    def __enter__(self) -> Self:
        """Write within a `with`, which completes the files."""
        return self

    def __exit__(self, *_: object) -> None:
        """Complete the files."""
        self._files.close()

    def append(self, log: pl.DataFrame, rng: np.random.Generator) -> None:
        """Write events (canonical columns) in order of time, a hundredth of them twice."""
        ordered = log.sort(self._time, maintain_order=True)
        repeated, num_exact, num_changed = repeat_rows(rng, ordered, self._altered, before=self.written.events)
        rows, broken = self._files.append(repeated, rng)
        self.written += Written(rows, num_exact, num_changed, broken)


class _Parquet:
    """Typed rows, two files a chunk."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._rows, self._files = folder, 0, 0

    def append(self, log: pl.DataFrame, rng: np.random.Generator) -> tuple[int, int]:
        mixed, broken = break_rows(rng, log, time="exposed_at", keys=("impression_id", "item_id"), before=self._rows)
        self._rows += log.height
        half = mixed.height // 2
        for part in (mixed[:half], mixed[half:]):
            part.write_parquet(self._folder / f"part-{self._files}.parquet", compression="zstd")
            self._files += 1
        return mixed.height, broken

    def close(self) -> None:
        """Each file is complete already."""


class _Text:
    """Lines in one packed file: clicks as .ndjson.gz, actions as .csv.zst, purchases as .csv.gz under the order system's names."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self._kind, self._rows, self._begun = kind, 0, False
        self._file = _open(folder, kind)

    def append(self, log: pl.DataFrame, rng: np.random.Generator) -> tuple[int, int]:
        header, lines, breakers = _lines(self._kind, log)
        mixed, broken = break_lines(rng, lines, breakers, before=self._rows)
        self._file.write("".join(f"{line}\n" for line in [*([] if self._begun else header), *mixed]).encode())
        self._rows, self._begun = self._rows + len(lines), True
        return len(mixed), broken

    def close(self) -> None:
        self._file.close()


def _open(folder: Path, kind: Kind) -> IO[bytes]:
    if kind == "actions":
        return zstandard.open(folder / "part-0.csv.zst", "wb", cctx=zstandard.ZstdCompressor(level=3))  # type: ignore[no-any-return]
    name = "part-0.ndjson.gz" if kind == "clicks" else "part-0.csv.gz"
    return gzip.GzipFile(folder / name, "wb", compresslevel=6, mtime=0)  # type: ignore[return-value]


def _lines(kind: Kind, log: pl.DataFrame) -> tuple[list[str], list[str], Sequence[Callable[[str], str]]]:
    """Return the header, the lines and the ways to break them."""
    names = _ORDER_NAMES if kind == "purchases" else {}
    time, key = EVENT_TIME[kind], EVENT_KEY[kind]
    raw = log.with_columns(pl.col(time).dt.strftime(_ISO)).rename(names)
    if kind == "clicks":
        return [], raw.write_ndjson().splitlines(), json_breakers(time=time, key="item_id")
    header, *lines = raw.write_csv().splitlines()
    return [header], lines, csv_breakers(raw.columns, time=names.get(time, time), key=names.get(key, key))


def _altered(kind: Kind, day: date) -> pl.Expr:
    """Another content for the same key: never newer than the arrival day, never before what it follows."""
    if kind == "impressions":
        return pl.col("position") + 1
    if kind == "purchases":
        return pl.col("amount") * 2
    time, end = pl.col(EVENT_TIME[kind]), pl.lit(day + timedelta(days=1)).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return pl.min_horizontal(time + timedelta(seconds=2), end - timedelta(milliseconds=1)).alias(EVENT_TIME[kind])
