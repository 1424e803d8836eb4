"""Typed rows of a day in a scratch folder, as runs: files sorted by event time, of which any stretch of minutes can be read alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from components.ingest.ahead import work_ahead
from components.ingest.columns import Target
from components.ingest.fingerprints import Fingerprints, fingerprint
from components.ingest.slices import minutes_of


@dataclass
class Run:
    """Some rows of the day, sorted by event time, uncompressed on disk."""

    path: Path
    height: int
    minutes: NDArray[np.int64]
    """The distinct minutes of the event times since 1970, ascending."""
    starts: NDArray[np.int64]
    """Where each minute starts; one more at the end: the height."""
    fingerprints: Fingerprints
    removed: NDArray[np.bool_] | None = None
    """The rows that are duplicates; None where none is."""

    def read(self, columns: list[str], first: int = 0, last: int | None = None) -> pl.DataFrame:
        """Return the rows from `first` up to, not including, `last`: views of the file, read when they are used."""
        with pa.memory_map(str(self.path)) as mapped:
            rows = pa.ipc.open_file(mapped).read_all().select(columns)
        return cast(pl.DataFrame, pl.from_arrow(rows.slice(first, (self.height if last is None else last) - first)))

    def kept(self, columns: list[str], first: int = 0, last: int | None = None) -> pl.DataFrame:
        """Return what `read` does, without the rows removed."""
        rows = self.read(columns, first, last)
        return rows if self.removed is None else rows.filter(~pl.Series(self.removed[first:last]))

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


def stage(frames: Iterable[pl.DataFrame], target: Target, folder: Path, rows: int) -> list[Run]:
    """Write frames of the target's columns and POSITION as runs of at least `rows` rows each, but for the last."""
    folder.mkdir(parents=True)
    return list(work_ahead(partial(_write, target, folder), enumerate(_grouped(frames, rows))))


def _grouped(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Put frames together, so that many small files make few runs."""
    held: list[pl.DataFrame] = []
    for frame in frames:
        held.append(frame)
        if sum(part.height for part in held) >= rows:
            yield pl.concat(held)
            held = []
    if any(part.height for part in held):
        yield pl.concat(held)


def _write(target: Target, folder: Path, numbered: tuple[int, pl.DataFrame]) -> Run:
    number, rows = numbered
    if not rows[target.time].is_sorted():
        rows = rows.sort(target.time)
    path = folder / f"run-{number:06}.arrow"
    values = rows.select(fingerprint(target)).to_series().to_numpy()
    rows.write_ipc(path, compression="uncompressed")
    fingerprints = Fingerprints.write(path.with_suffix(".fingerprints"), values)
    return Run(path, rows.height, *minutes_of(rows[target.time]), fingerprints)
