"""The accepted events of a day in order, as slices: whole minutes of at most so many rows each.

The slices depend on the day's rows alone, not on how they arrived.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from components.ingest.columns import Target
from components.ingest.staging import Run

Stretch = tuple[int, int]
"""Minutes since 1970: the first, and the one after the last."""


_FEW = 200
"""Pairs out of order that are mended one by one."""


@dataclass(frozen=True)
class Slices:
    """A day's slices; each is read from the runs when it is collected. Iterating again gives them again."""

    runs: list[Run]
    target: Target
    histogram: list[tuple[int, int]]
    """Minute -> rows, ascending."""
    file_rows: int
    """Rows of a slice at most; one minute may have more."""
    chunk_rows: int
    """Rows sorted at once; one minute may have more."""

    def __iter__(self) -> Iterator[pl.LazyFrame]:
        """Yield each slice: the target's columns by event time, then key."""
        for stretch in greedy(self.histogram, self.file_rows) or [(0, 0)]:
            yield self._slice(stretch)

    def _slice(self, stretch: Stretch) -> pl.LazyFrame:
        within = [(minute, count) for minute, count in self.histogram if stretch[0] <= minute < stretch[1]]

        def read(columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _: int | None) -> Iterator[pl.DataFrame]:
            for part in greedy(within, self.chunk_rows):
                rows = self._ordered(part)
                rows = rows if predicate is None else rows.filter(predicate)
                rows = rows if columns is None else rows.select(columns)
                yield rows if limit is None else rows.head(limit)
                limit = None if limit is None else max(limit - rows.height, 0)

        schema: Any = dict(self.target.schema)
        return register_io_source(read, schema=schema, is_pure=True)

    def _ordered(self, stretch: Stretch) -> pl.DataFrame:
        """Return the rows of some minutes by event time, then key; where rows have none, the other columns decide."""
        columns, time, key = list(self.target.schema), self.target.time, self.target.key
        spans = [(run, *run.span(*stretch)) for run in self.runs]
        rows = pl.concat(_kept(run, first, last, columns) for run, first, last in spans if first < last)
        if key not in self.target.required:
            return rows.sort(time, key, *(name for name in columns if name not in (time, key)))
        return _break_ties(rows, time, key) if rows[time].is_sorted() else rows.sort(time, key)


def greedy(histogram: Iterable[tuple[int, int]], most: int) -> list[Stretch]:
    """Return stretches of whole minutes, each as long as it holds at most `most` rows; a minute with more is one of its own."""
    stretches: list[Stretch] = []
    rows = 0
    for minute, count in histogram:
        if stretches and rows + count <= most:
            rows += count
            stretches[-1] = (stretches[-1][0], minute + 1)
        else:
            rows = count
            stretches.append((minute, minute + 1))
    return stretches


def _kept(run: Run, first: int, last: int, columns: list[str]) -> pl.DataFrame:
    rows = run.read(columns, first, last)
    return rows if run.removed is None else rows.filter(~pl.Series(run.removed[first:last]))


def _break_ties(rows: pl.DataFrame, time: str, key: str) -> pl.DataFrame:
    """Sort rows of one time by key, all being in the order of time; where few are out of order, the others are not copied."""
    tied = rows[time].head(-1) == rows[time].tail(-1)
    wrong = (tied & (rows[key].head(-1) > rows[key].tail(-1))).arg_true()
    if len(wrong) > _FEW:
        return rows.sort(time, key)
    parts, done = [], 0
    for at in wrong:
        if at >= done:
            first = int(rows[time].search_sorted(rows[time][at], side="left"))
            last = int(rows[time].search_sorted(rows[time][at], side="right"))
            parts += [rows[done:first], rows[first:last].sort(time, key)]
            done = last
    return pl.concat([*parts, rows[done:]])
