"""Raw rows in chunks: what the readers of each format hand on."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from components.profile import Source


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows of one raw file; all parts have the same height."""

    first_row: int
    """Number of the first row; the first data row of a file is 1."""
    values: pl.DataFrame
    """The declared raw columns under their own names: text, or the file's own types for Parquet."""
    fault: pl.Series
    """Why a row could not be split into columns; null where it could."""
    raw: pl.Series | None
    """The rows as they stand in the file; None for Parquet, whose rows are shown as JSON."""

    @property
    def height(self) -> int:
        """Number of rows."""
        return len(self.fault)

    def rows(self) -> pl.Series:
        """Return the row numbers, Int64, `row`."""
        return pl.int_range(self.first_row, self.first_row + self.height, eager=True).alias("row")

    def text(self, where: pl.Series) -> pl.Series:
        """Return the raw text of the rows where the Boolean `where` is true, as `raw`."""
        if self.raw is not None:
            return self.raw.filter(where).alias("raw")
        rows = self.values.filter(where)
        return rows.select(raw=pl.struct(pl.all()).struct.json_encode()).to_series()


def declared(source: Source) -> list[str]:
    """Return the raw columns that a profile names for one kind, each once."""
    return list(dict.fromkeys([*source.columns.values(), *source.context]))


def text_chunk(first_row: int, raw: Sequence[str], fault: Sequence[str | None] | pl.Series, values: pl.DataFrame) -> Chunk:
    """Return a chunk of a text file from its rows' text, faults and values."""
    return Chunk(first_row, values, pl.Series("fault", fault, dtype=pl.String), pl.Series("raw", raw, dtype=pl.String))
