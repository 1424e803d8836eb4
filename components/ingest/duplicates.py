"""Which typed rows repeat others: exact duplicates (all columns equal) and conflicting ones (same key, other content).

Rows are named by their position: file number and row number in one integer, so that the first of several is the smallest. Only rows
whose fingerprint repeats are compared; fingerprints are sorted a range at a time, so that memory does not grow with the day.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.ingest.columns import Target
from components.ingest.staging import FINGERPRINT, POSITION, ROW_BITS, Run

FATE = "fate"
EXACT, CONFLICTING = "exact", "conflicting"
_AT_ONCE = 1 << 21
"""Fingerprints sorted at once, 8 bytes each."""
Fingerprints = NDArray[np.uint64]


@dataclass
class Removed:
    """What was removed from the runs."""

    counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Rows by file number and fate."""
    conflicting: list[pl.Series] = field(default_factory=list)
    """Positions of the conflicting rows, in no order."""

    def conflicts(self, file: int) -> pl.Series:
        """Return the row numbers of the conflicting rows of the `file`-th file."""
        if not self.counts[file, CONFLICTING]:
            return pl.Series("row", [], dtype=pl.Int64)
        found = pl.concat(self.conflicting).alias(POSITION).to_frame().filter(file_number() == file)
        return found.select((pl.col(POSITION) % (1 << ROW_BITS)).cast(pl.Int64).alias("row")).to_series()


def positions(file: int) -> pl.Expr:
    """Return the positions of the rows (column `row`) of the `file`-th file."""
    return (pl.col("row").cast(pl.UInt64) + (file << ROW_BITS)).alias(POSITION)


def file_number() -> pl.Expr:
    """Return the file number of a position."""
    return pl.col(POSITION) // (1 << ROW_BITS)


def fingerprint(target: Target) -> pl.Expr:
    """Return a hash that rows of one key, or without key and of one content, share. Of use within one process only."""
    if target.key in target.required:
        return pl.col(target.key).hash(seed=0).alias(FINGERPRINT)
    return pl.struct(list(target.schema)).hash(seed=0).alias(FINGERPRINT)


def mark_duplicates(runs: list[Run], target: Target, limit: int) -> Removed:
    """Mark the rows of the runs that repeat others, comparing about `limit` rows at once; return what was marked.

    Of equal rows the first by position stays. Of rows that share a key, the first by event time, then position, stays; rows without
    key never conflict.
    """
    removed = Removed()
    for repeated in _repeated(runs, limit):
        suspects = pl.concat(_suspects(number, run, repeated, target) for number, run in enumerate(runs))
        for fate, rows in _compare(suspects, target):
            for (number,), marked in rows.group_by("run"):
                run = runs[int(number)]
                run.removed = np.zeros(run.height, np.bool_) if run.removed is None else run.removed
                run.removed[marked["at"].to_numpy()] = True
            for file, count in rows.group_by(file_number().alias("file")).len().iter_rows():
                removed.counts[file, fate] += count
            if fate == CONFLICTING:
                removed.conflicting.append(rows[POSITION])
    return removed


def _repeated(runs: list[Run], limit: int) -> Iterator[Fingerprints]:
    """Yield the fingerprints that repeat, ascending, in groups that hold about `limit` rows."""
    passes = -(-sum(run.height for run in runs) // _AT_ONCE)
    bounds = [(number << 64) // max(passes, 1) for number in range(passes + 1)]
    for low, high in pairwise(bounds):
        found = np.concatenate([run.fingerprints(low, high - 1) for run in runs])
        found.sort()
        if not (found[1:] == found[:-1]).any():
            continue
        values, counts = np.unique(found, return_counts=True)
        values, counts = values[counts > 1], counts[counts > 1]
        group = np.cumsum(counts) // limit
        yield from (values[group == number] for number in np.unique(group))


def _suspects(number: int, run: Run, repeated: Fingerprints, target: Target) -> pl.DataFrame:
    """Return the rows of a run that have one of the fingerprints, which are ascending, with the run's number and where they are."""
    found = run.fingerprints(int(repeated[0]), int(repeated[-1]))
    known = repeated[np.searchsorted(repeated, found)] == found
    at = np.sort(_order(run, target)[run.first(int(repeated[0])) :][: len(found)][known]) if known.any() else np.zeros(0, np.uint32)
    rows = run.read([*target.schema, POSITION])[at] if len(at) else run.read([*target.schema, POSITION], 0, 0)
    return rows.with_columns(pl.lit(number, pl.Int64).alias("run"), pl.Series("at", at))


def _order(run: Run, target: Target) -> NDArray[np.uint32]:
    """Return which row of a run each of its sorted fingerprints is of; kept beside the run once it was needed."""
    path = run.path.with_suffix(".order")
    if not path.exists():
        rows = run.read(list(target.schema)).select(fingerprint(target))
        path.write_bytes(np.argsort(rows[FINGERPRINT].to_numpy()).astype(np.uint32).data)
    return np.memmap(path, np.uint32, "r")


def _compare(suspects: pl.DataFrame, target: Target) -> list[tuple[str, pl.DataFrame]]:
    """Return the rows to remove, by fate."""
    distinct = suspects.sort(POSITION).unique(list(target.schema), keep="first", maintain_order=True)
    keyed = distinct.filter(pl.col(target.key).is_not_null())
    first = keyed.sort(target.time, POSITION).unique(target.key, keep="first")
    return [(EXACT, suspects.join(distinct, on=POSITION, how="anti")), (CONFLICTING, keyed.join(first, on=POSITION, how="anti"))]
