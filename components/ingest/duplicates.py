"""Which typed rows repeat others: exact duplicates (all columns equal) and conflicting ones (same key, other content).

Rows are named by their position: file number and row number in one integer, so that the first of several is the smallest. Only rows
whose fingerprint repeats are compared, so a day of distinct rows costs one integer a row.
"""

import polars as pl

from components.ingest.columns import Target

POSITION = "__position__"
FINGERPRINT = "__fingerprint__"
FATE = "fate"
EXACT, CONFLICTING = "exact", "conflicting"
_ROW_BITS = 40


def positions(file: int) -> pl.Expr:
    """Return the positions of the rows (column `row`) of the `file`-th file."""
    return (pl.col("row").cast(pl.UInt64) + (file << _ROW_BITS)).alias(POSITION)


def file_number() -> pl.Expr:
    """Return the file number of a position."""
    return pl.col(POSITION) // (1 << _ROW_BITS)


def of_file(removed: pl.DataFrame, file: int) -> pl.DataFrame:
    """Return row number and fate of the removed rows of the `file`-th file."""
    return removed.filter(file_number() == file).select((pl.col(POSITION) % (1 << _ROW_BITS)).cast(pl.Int64).alias("row"), FATE)


def fingerprint(target: Target) -> pl.Expr:
    """Return a hash that rows of one key, or without key and of one content, share. Of use within one process only."""
    content = pl.struct(list(target.schema)).hash(seed=0)
    return pl.when(pl.col(target.key).is_null()).then(content).otherwise(pl.col(target.key).hash(seed=0)).alias(FINGERPRINT)


def find_duplicates(rows: pl.LazyFrame, target: Target) -> pl.DataFrame:
    """Return position and fate of the rows to remove, by position.

    rows: columns of the target's schema, POSITION and FINGERPRINT. Of equal rows the first by position stays. Of rows that share a key,
    the first by event time, then position, stays; rows without key never conflict.
    """
    repeated = rows.group_by(FINGERPRINT).agg(pl.len()).filter(pl.col("len") > 1).select(FINGERPRINT)
    suspects = rows.join(repeated, on=FINGERPRINT, how="semi")
    distinct = suspects.group_by(list(target.schema)).agg(pl.col(POSITION).min())
    keyed = distinct.filter(pl.col(target.key).is_not_null())
    first = keyed.group_by(target.key).agg(pl.col(POSITION).sort_by(target.time, POSITION).first())
    removed = [_removed(suspects, distinct, EXACT), _removed(keyed, first, CONFLICTING)]
    return pl.concat(removed).sort(POSITION).collect(engine="streaming")


def _removed(rows: pl.LazyFrame, stay: pl.LazyFrame, fate: str) -> pl.LazyFrame:
    return rows.select(POSITION).join(stay.select(POSITION), on=POSITION, how="anti").with_columns(pl.lit(fate).alias(FATE))
