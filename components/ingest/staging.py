"""Typed and quarantined rows of the day being read, kept in a scratch folder, so that memory holds one chunk.

Typed rows are kept as runs: files sorted by event time, of which any stretch of minutes can be read alone.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from components.ingest.columns import REASON, Target
from components.tables import Schema

POSITION = "__position__"
FINGERPRINT = "__fingerprint__"
ROW_BITS = 40
"""A position is the file's number and, in this many bits, the row's."""
_MINUTE_US = 60_000_000
_QUARANTINE: Schema = {POSITION: pl.UInt64(), "file": pl.String(), "row": pl.Int64(), REASON: pl.String(), "raw": pl.String()}


@dataclass
class Run:
    """Some rows of the day, sorted by event time, uncompressed on disk."""

    path: Path
    height: int
    minutes: NDArray[np.int64]
    """The distinct minutes of the event times since 1970, ascending."""
    starts: NDArray[np.int64]
    """Where each minute starts; one more at the end: the height."""
    removed: NDArray[np.bool_] | None = None
    """The rows that are duplicates; None where none is."""

    def read(self, columns: list[str], first: int = 0, last: int | None = None) -> pl.DataFrame:
        """Return the rows from `first` up to, not including, `last`: views of the file, read when they are used."""
        with pa.memory_map(str(self.path)) as mapped:
            rows = pa.ipc.open_file(mapped).read_all().select(columns)
        return cast(pl.DataFrame, pl.from_arrow(rows.slice(first, (self.height if last is None else last) - first)))

    def fingerprints(self, first: int, last: int) -> NDArray[np.uint64]:
        """Return the fingerprints from `first` through `last`, ascending."""
        found = self._fingerprints()
        return np.array(found[self.first(first) : np.searchsorted(found, np.uint64(last), side="right")])

    def first(self, fingerprint: int) -> int:
        """Return the number of smaller fingerprints."""
        return int(np.searchsorted(self._fingerprints(), np.uint64(fingerprint)))

    def _fingerprints(self) -> NDArray[np.uint64]:
        return np.memmap(self.path.with_suffix(".fingerprints"), np.uint64, "r")

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Return where the minutes from `first` up to, not including, `last` start and end."""
        begin, end = np.searchsorted(self.minutes, [first, last])
        return int(self.starts[begin]), int(self.starts[end])

    def counts(self) -> NDArray[np.int64]:
        """Return the number of rows of each minute, without those removed."""
        counts = np.diff(self.starts)
        if self.removed is None:
            return counts
        gone = np.concatenate([[0], np.cumsum(self.removed, dtype=np.int64)])
        return np.asarray(counts - np.diff(gone[self.starts]), dtype=np.int64)


@dataclass
class Staging:
    """The runs and the quarantine of one day of one kind, under `folder`."""

    folder: Path
    target: Target
    runs: list[Run] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _parts: dict[str, list[Path]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the folder, and a part without rows, so that a quarantine without rows can be scanned too."""
        self.folder.mkdir(parents=True)
        self._add("unreadable", pl.DataFrame(schema=_QUARANTINE))

    def write(self, rows: pl.DataFrame) -> Run:
        """Write a run: rows that are events, with the target's columns, POSITION and FINGERPRINT. Threads may write at once."""
        if not rows[self.target.time].is_sorted():
            rows = rows.sort(self.target.time)
        path = self.folder / f"run-{next(self._numbers):06}.arrow"
        path.with_suffix(".fingerprints").write_bytes(np.sort(rows[FINGERPRINT].to_numpy()).data)  # tofile names no full disk
        rows.drop(FINGERPRINT).write_ipc(path, compression="uncompressed")
        minutes = (rows[self.target.time].to_physical() // _MINUTE_US).rle().struct
        starts = np.concatenate([[0], np.cumsum(minutes.field("len").to_numpy(), dtype=np.int64)])
        return Run(path, rows.height, minutes.field("value").to_numpy(), starts)

    def accepted(self) -> Counter[int]:
        """Count the rows of each file, by number, without those removed; from the runs, so that a row lost on the way shows."""
        kept: Counter[int] = Counter()
        for run in self.runs:
            rows = run.read([POSITION])
            rows = rows if run.removed is None else rows.filter(~pl.Series(run.removed))
            for file, height in rows.group_by(pl.col(POSITION) // (1 << ROW_BITS)).len().iter_rows():
                kept[file] += height
        return kept

    def histogram(self) -> Iterator[tuple[int, int]]:
        """Yield each minute since 1970 that has rows, and how many, without those removed, ascending."""
        minutes = np.concatenate([np.zeros(0, np.int64), *(run.minutes for run in self.runs)])
        counts = np.concatenate([np.zeros(0, np.int64), *(run.counts() for run in self.runs)])
        distinct, at = np.unique(minutes, return_inverse=True)
        sums = np.bincount(at, weights=counts, minlength=len(distinct)).astype(np.int64)
        yield from ((int(minute), int(rows)) for minute, rows in zip(distinct, sums, strict=True) if rows)

    def add_unreadable(self, rows: pl.DataFrame) -> None:
        """Keep rows that are no events: POSITION, file, row, reason, raw; to be added in the order of positions."""
        self._add("unreadable", rows)

    def add_conflicting(self, rows: pl.DataFrame) -> None:
        """Keep conflicting duplicates: as the unreadable rows."""
        self._add("conflicting", rows)

    def quarantined(self) -> pl.LazyFrame:
        """Read the quarantined rows, by file, then row."""
        ways = [pl.scan_parquet(paths, glob=False) for paths in self._parts.values()]
        rows = ways[0] if len(ways) == 1 else ways[0].merge_sorted(ways[1], key=POSITION)
        return rows.drop(POSITION)

    def _add(self, name: str, rows: pl.DataFrame) -> None:
        parts = self._parts.setdefault(name, [])
        parts.append(self.folder / f"{name}-{len(parts):06}.parquet")
        rows.select(list(_QUARANTINE)).write_parquet(parts[-1], compression="lz4", statistics=False)
