"""A day whose events arrive in any order: they are staged as sorted runs, and its slices are read from those."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from components.ingest.columns import Target
from components.ingest.duplicates import POSITION, rows_by_file
from components.ingest.repeats import mark_repeats
from components.ingest.slices import Stretch, as_lazy, greedy
from components.ingest.staging import stage
from components.ingest.ties import settle


@dataclass
class Shuffled:
    """The slices of a day; each is read from the runs when it is collected. Iterating again gives them again."""

    events: Iterable[pl.DataFrame]
    """The target's columns and POSITION, by position."""
    target: Target
    folder: Path
    """An empty folder, or one to be made, for the runs."""
    chunk_rows: int
    """Rows sorted at once; one minute may have more."""
    file_rows: int
    """Rows of a slice at most; one minute may have more."""

    def __post_init__(self) -> None:
        """Write the runs and find the rows that repeat others."""
        self.runs = stage(self.events, self.target, self.folder, self.chunk_rows)
        self.removed = mark_repeats(self.runs, self.target, self.chunk_rows)

    def __iter__(self) -> Iterator[pl.LazyFrame]:
        """Yield each slice: the target's columns by event time, then key. A day without events is one slice without rows."""
        for stretch in greedy(self.histogram, self.file_rows) or [(0, 0)]:
            yield self._slice(stretch)

    @cached_property
    def accepted(self) -> Counter[int]:
        """Rows by file number, without those removed; from the runs, so that a row lost on the way shows."""
        return sum((rows_by_file(run.kept([POSITION])[POSITION]) for run in self.runs), Counter())

    @cached_property
    def histogram(self) -> list[tuple[int, int]]:
        """Each minute since 1970 that has rows, and how many, without those removed, ascending."""
        minutes = np.concatenate([np.zeros(0, np.int64), *(run.minutes for run in self.runs)])
        counts = np.concatenate([np.zeros(0, np.int64), *(run.counts() for run in self.runs)])
        distinct, at = np.unique(minutes, return_inverse=True)
        sums = np.bincount(at, weights=counts, minlength=len(distinct)).astype(np.int64)
        return [(int(minute), int(rows)) for minute, rows in zip(distinct, sums, strict=True) if rows]

    def _slice(self, stretch: Stretch) -> pl.LazyFrame:
        within = [(minute, count) for minute, count in self.histogram if stretch[0] <= minute < stretch[1]]
        parts = greedy(within, self.chunk_rows)
        return as_lazy(lambda: map(self._ordered, parts), self.target.schema)

    def _ordered(self, stretch: Stretch) -> pl.DataFrame:
        """Return the rows of some minutes by event time, then key."""
        spans = [(run, *run.span(*stretch)) for run in self.runs]
        rows = pl.concat(run.kept([*self.target.schema, POSITION], first, last) for run, first, last in spans if first < last)
        return settle(rows, self.target)[0].drop(POSITION)
