"""Which rows repeat others: exact duplicates (all columns equal) and conflicting ones (same key, other content).

Of equal rows the first by position stays. Of rows that share a key the first by event time, then position, stays; rows without key
never conflict. A row's position is its file's number and its row number in one integer.
"""

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from components.ingest.columns import Target

POSITION = "__position__"
ROW_BITS = 40
"""A position is the file's number and, in this many bits, the row's."""
EXACT, CONFLICTING = "exact", "conflicting"


@dataclass
class Removed:
    """What was removed from a day's rows."""

    counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Rows by file number and fate."""
    conflicting: list[pl.Series] = field(default_factory=list)
    """Positions of the conflicting rows, in no order."""

    def add(self, fate: str, positions: pl.Series) -> None:
        """Count rows of one fate, by their positions."""
        for file, count in rows_by_file(positions).items():
            self.counts[file, fate] += count
        if fate == CONFLICTING:
            self.conflicting.append(positions)

    def conflicts(self, file: int) -> pl.Series:
        """Return the row numbers of the conflicting rows of the `file`-th file."""
        if not self.counts[file, CONFLICTING]:
            return pl.Series("row", [], dtype=pl.Int64)
        found = pl.concat(self.conflicting).alias(POSITION).to_frame().filter(file_number() == file)
        return found.select((pl.col(POSITION) % (1 << ROW_BITS)).alias("row")).to_series()


def positions(file: int) -> pl.Expr:
    """Return the positions of the rows (column `row`) of the `file`-th file."""
    return (pl.col("row") + (file << ROW_BITS)).alias(POSITION)


def file_number() -> pl.Expr:
    """Return the file number of a position."""
    return pl.col(POSITION) // (1 << ROW_BITS)


def rows_by_file(positions: pl.Series) -> Counter[int]:
    """Count positions by file number."""
    return Counter(dict(positions.alias(POSITION).to_frame().group_by(file_number()).len().iter_rows()))


def compare(suspects: pl.DataFrame, target: Target) -> list[tuple[str, pl.DataFrame]]:
    """Return which of some rows are to be removed, by fate.

    suspects: the target's columns and POSITION; all rows that are equal to one of them, or share its key, are among them.
    """
    distinct = suspects.sort(POSITION).unique(list(target.schema), keep="first", maintain_order=True)
    keyed = distinct.filter(pl.col(target.key).is_not_null())
    first = keyed.sort(target.time, POSITION).unique(target.key, keep="first", maintain_order=True)
    return [(EXACT, suspects.join(distinct, on=POSITION, how="anti")), (CONFLICTING, keyed.join(first, on=POSITION, how="anti"))]
