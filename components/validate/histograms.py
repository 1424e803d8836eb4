"""How a column is distributed: the rows of each label, and the positives among them.

Text and Booleans are their own label. Numbers get one of fixed buckets, four to each doubling of 1 + |x|, so that days compare; floats,
which may be rates, four to each doubling of 1 + 1000 |x|. A list counts by its length.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

Histogram = Sequence[tuple[str | None, float]]
"""Label (None: no value) and share of the rows, the labels that hold at least `KEPT` of them, sorted by label."""
KEPT = 0.005


def count_labels(frame: pl.LazyFrame, column: str, positives: Sequence[str] = ()) -> pl.DataFrame:
    """Count the rows of each label of a column, and those where each of the Boolean columns `positives` holds."""
    dtype = frame.collect_schema()[column]
    counts = [pl.len().alias("num_rows"), *(pl.col(name).sum().alias(f"num_{name}") for name in positives)]
    counted = frame.group_by(_group(column, dtype).alias("label")).agg(counts)
    return counted.with_columns(pl.col("label").cast(pl.String)).sort("label").collect(engine="streaming")


def to_histogram(counted: pl.DataFrame) -> Histogram:
    """Turn counts into shares; empty where every label is rare."""
    share = pl.col("num_rows") / pl.col("num_rows").sum()
    return counted.select("label", share=share).filter(pl.col("share") >= KEPT).rows()


def area_under_bins(counted: pl.DataFrame, positives: str) -> float:
    """Return the AUC of a column that ranks rows by their label's rate of positives; ties count half.

    Labels with less than 0.5 % of the rows are one label, so that an id does not look like a leak by its rare values.
    The rates are those of the same rows: with few positives the area is too large, never too small. Needs a positive and a negative.
    """
    rare = pl.col("num_rows") < KEPT * pl.col("num_rows").sum()
    pooled = counted.group_by(pl.when(rare).then(-1).otherwise(pl.int_range(pl.len()))).agg(pl.col("num_rows", positives).sum())
    rows, hits = (pooled[name].to_numpy().astype(np.float64) for name in ("num_rows", positives))
    order = np.argsort(hits / rows)
    hits, misses = hits[order], (rows - hits)[order]
    below = np.cumsum(misses) - misses
    return float((hits * (below + misses / 2)).sum() / (hits.sum() * misses.sum()))


def _group(column: str, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.List:
        return _bucket(pl.col(column).list.len(), scale=1)
    return _bucket(pl.col(column), scale=1000 if dtype.is_float() else 1) if dtype.is_numeric() else pl.col(column)


def _bucket(number: pl.Expr, *, scale: int) -> pl.Expr:
    """Return the bucket of a number; infinities and NaN have none."""
    value = number.cast(pl.Float64)
    return ((4 * (1 + scale * value.abs()).log(2)).floor() * value.sign()).cast(pl.Int64, strict=False)
