"""A day's samples in slices: ranges of exposed_at at whole minutes, each of at most so many rows, that depend on the rows alone."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from components.label.candidates import Survey


@dataclass(frozen=True)
class Slice:
    """The impressions exposed in [first, end)."""

    first: datetime
    end: datetime
    first_row: int
    """Of those that arrived on the day, the rows before this slice's."""
    num_punctual: int
    """Rows that arrived on the day."""
    num_late: int

    @property
    def stored(self) -> range | None:
        """The rows of the arrival day that these are, in order; None where late rows are among them."""
        return None if self.num_late else range(self.first_row, self.first_row + self.num_punctual)

    @property
    def within(self) -> pl.Expr:
        """Whether an impression is of this slice."""
        return pl.col("exposed_at").is_between(self.first, self.end, closed="left")


def cut_slices(surveyed: Survey, end: datetime, *, file_rows: int) -> list[Slice]:
    """Cut a day that ends at `end` into slices of at most `file_rows` rows; a single minute may have more. A day without rows has none."""
    slices: list[Slice] = []
    first_row, first, punctual, late = surveyed.first_row, None, 0, 0
    for minute, more_punctual, more_late in surveyed.minutes.iter_rows():
        if first is not None and punctual + late + more_punctual + more_late > file_rows:
            slices.append(Slice(first, minute, first_row, punctual, late))
            first_row, first, punctual, late = first_row + punctual, None, 0, 0
        first, punctual, late = first or minute, punctual + more_punctual, late + more_late
    return [*slices, Slice(first, end, first_row, punctual, late)] if first is not None else []
