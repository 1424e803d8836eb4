"""Raw rows in chunks: what the readers of each format hand on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from components.profile import Source

MAX_RAW = 1 << 20
"""Letters of a row's raw text that the quarantine keeps."""


@dataclass(frozen=True)
class Chunk:
    """Some rows of one raw file; all parts have the same height."""

    rows: pl.Series
    """Row numbers, Int64, ascending, `row`; the first data row of a file is 1."""
    values: pl.DataFrame
    """The declared raw columns under their own names: text, or types of the file's own (Parquet) or that its values fit (NDJSON)."""
    fault: pl.Series | None
    """Why a row could not be split into columns, null where it could; None where all could."""
    raw: Callable[[pl.Series], pl.Series]
    """The rows as they stand in the file, of those where a Boolean is true."""
    doubtful: pl.Series | None = None
    """Rows of which the values are not to be trusted; None where all are."""
    exactly: Callable[[pl.Series], "Chunk"] | None = None
    """Read the rows where a Boolean is true again, with care; None where the values are exact already."""

    @property
    def height(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def text(self, where: pl.Series) -> pl.Series:
        """Return the raw text of the rows where the Boolean `where` is true, as `raw`; what is over MAX_RAW letters is cut."""
        raw = self.raw(where)
        cut = pl.format("{}... ({} bytes)", raw.str.head(MAX_RAW), raw.str.len_bytes())
        return pl.select(pl.when(raw.str.len_chars() > MAX_RAW).then(cut).otherwise(raw).alias("raw")).to_series()

    def only(self, where: pl.Series) -> "Chunk":
        """Return the rows where the Boolean `where` is true, read exactly."""
        if self.exactly is not None:
            return self.exactly(where)
        indices = where.arg_true()

        def raw(inner: pl.Series) -> pl.Series:
            outer = pl.Series([False], dtype=pl.Boolean).new_from_index(0, self.height)
            return self.raw(outer.scatter(indices.filter(inner), True))

        fault = None if self.fault is None else self.fault.filter(where)
        return Chunk(self.rows.filter(where), self.values.filter(where), fault, raw)


def declared(source: Source) -> list[str]:
    """Return the raw columns that a profile names for one kind, each once."""
    return list(dict.fromkeys([*source.columns.values(), *source.context]))


def numbered(first: int, height: int) -> pl.Series:
    """Return consecutive row numbers."""
    return pl.int_range(first, first + height, eager=True).alias("row")


def text_chunk(rows: pl.Series, raw: Sequence[str], fault: Sequence[str | None] | pl.Series, values: pl.DataFrame) -> Chunk:
    """Return a chunk of a text file from its rows' numbers, text, faults and values."""
    texts = pl.Series("raw", raw, dtype=pl.String)
    return Chunk(rows, values, pl.Series("fault", fault, dtype=pl.String), texts.filter)
