"""A day whose events arrive about in order: they are put in order, freed of repeats and cut into slices as they are read."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.ingest.ahead import one_ahead
from components.ingest.columns import Target
from components.ingest.duplicates import POSITION, Removed, rows_by_file
from components.ingest.fingerprints import Fingerprints, fingerprint, repeated
from components.ingest.reorder import OutOfOrder, Reorder
from components.ingest.slices import DAY_MINUTES, as_lazy, minutes_of
from components.ingest.ties import settle


@dataclass
class Stream:
    """The slices of a day, each to be collected once, and whole, before the next is asked for.

    Iterating raises OutOfOrder where the events cannot be put in order so, at the latest after the last slice, and what reading the
    events raised.
    """

    events: Iterator[pl.DataFrame]
    """The target's columns and POSITION, by position."""
    target: Target
    folder: Path
    """An empty folder, or one to be made, for the fingerprints."""
    chunk_rows: int
    """Half as many rows again are held back for those that come late."""
    file_rows: int
    """Rows of a slice at most; one minute may have more."""
    removed: Removed = field(default_factory=Removed)
    accepted: Counter[int] = field(default_factory=Counter)
    """Rows handed on, by file number."""
    histogram: list[tuple[int, int]] = field(default_factory=list)
    """Minute since 1970 -> rows handed on, ascending."""

    def __iter__(self) -> Iterator[pl.LazyFrame]:
        """Yield each slice: the target's columns by event time, then key. A day without events is one slice without rows."""
        self.folder.mkdir(parents=True)
        with closing(one_ahead(self._settled())) as batches:
            cut = _Cut(batches, self)
            while cut.more:
                yield as_lazy(cut.read_slice, self.target.schema)
                cut.raise_fault()

    def _settled(self) -> Iterator[pl.DataFrame]:
        """Yield batches in order, without repeats; refuse the day after the last where a key still repeats."""
        numbers, kept = count(), []
        for batch in Reorder(self.target.time, self.chunk_rows * 3 // 2 + 1).batches(self.events):
            rows, fates = settle(batch, self.target)
            for fate, marked in fates:
                self.removed.add(fate, marked[POSITION])
            if self.target.key in self.target.required:  # else only equal rows repeat, and those are in one batch
                values = rows.select(fingerprint(self.target)).to_series().to_numpy()
                kept.append(Fingerprints.write(self.folder / f"{next(numbers):06}.fingerprints", values))
            yield rows
        if any(True for _ in repeated(kept, self.chunk_rows)):
            raise OutOfOrder(f"some {self.target.key} has events of several times")


@dataclass
class _Cut:
    """Cuts batches into slices, one after the other."""

    batches: Iterator[pl.DataFrame]
    stream: Stream
    more: bool = True
    """Whether there is a slice to read."""
    _rest: list[pl.DataFrame] = field(default_factory=list)
    """What of the last batch belongs to the next slice."""
    _fault: BaseException | None = None

    def read_slice(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of the next slice. A fault ends it: exceptions do not pass through Polars as they are."""
        rows, day = 0, None
        rest, self._rest, self.more = self._rest, [], False
        try:
            for batch in chain(rest, self.batches):
                minutes, starts = minutes_of(batch[self.stream.target.time])
                day = minutes[0] // DAY_MINUTES if day is None else day
                fit = int(np.searchsorted(starts[1:], self.stream.file_rows - rows, side="right"))
                fit = min(max(fit, 0 if rows else 1), int(np.searchsorted(minutes, (day + 1) * DAY_MINUTES)))
                end = int(starts[fit])
                self._note(batch[:end], minutes[:fit], np.diff(starts[: fit + 1]))
                yield batch[:end].drop(POSITION)
                rows += end
                if end < batch.height:
                    self._rest, self.more = [batch[end:]], True
                    return
        except Exception as fault:
            self._fault = fault

    def raise_fault(self) -> None:
        """Raise what ended the last slice, if that was a fault."""
        if self._fault is not None:
            raise self._fault

    def _note(self, rows: pl.DataFrame, minutes: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        self.stream.accepted += rows_by_file(rows[POSITION])
        self.stream.histogram += zip(minutes.tolist(), counts.tolist(), strict=True)
