"""How a day's columns are distributed, and how far that is from the days before: the population stability index.

PSI = sum over bins of (p - q) ln(p / q), p the day's share of a bin and q the mean share of the days before (Siddiqi 2006).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

Histogram = Sequence[tuple[str | None, float]]
"""Label (None: no value) and share of the rows, the labels that hold at least `_KEPT` of them, sorted by label."""
Before = Mapping[str, Any]
Comparison = tuple[dict[str, float], list[str]]
_KEPT = 0.005
_BIN = 0.01
_FLOOR = 0.001


def count_labels(frame: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
    """Count the labels of some columns: one row per column and label, with `num_rows` and the column's `total`.

    Text and Booleans are their own label. Numbers get one of fixed buckets, four to each doubling of 1 + |x|, so that days compare.
    """
    schema = frame.collect_schema()
    labels = [_bucket(name).alias(name) if schema[name].is_numeric() else pl.col(name).cast(pl.String) for name in columns]
    if not labels:
        return pl.LazyFrame(schema={"column": pl.String, "label": pl.String, "num_rows": pl.UInt32, "total": pl.UInt32})
    long = frame.select(labels).unpivot(variable_name="column", value_name="label")
    return long.group_by("column", "label").agg(num_rows=pl.len()).with_columns(total=pl.col("num_rows").sum().over("column"))


def to_histograms(counted: pl.DataFrame) -> dict[str, Histogram]:
    """Turn `count_labels` into the histogram of each column; it is empty where every label is rare."""
    share = pl.col("num_rows") / pl.col("total")
    kept = counted.with_columns(share=share).filter(pl.col("share") >= _KEPT).sort("column", "label")
    grouped = kept.group_by("column", maintain_order=True).agg("label", "share")
    found = {column: list(zip(labels, shares, strict=True)) for column, labels, shares in grouped.iter_rows()}
    return {column: found.get(column, []) for column in sorted(counted["column"].unique())}


def stability_index(day: Histogram, before: Sequence[Histogram]) -> float:
    """Return the PSI of a day against the mean of the days before, at least one.

    Labels with 1 % of the rows, on the day or in the mean, are bins; the rest is one more. An empty bin counts as 0.1 %.
    """
    current = dict(day)
    reference: dict[str | None, float] = {}
    for histogram in before:
        for label, share in histogram:
            reference[label] = reference.get(label, 0.0) + share / len(before)
    bins = [label for label in current.keys() | reference.keys() if max(current.get(label, 0), reference.get(label, 0)) >= _BIN]
    pairs = [(current.get(label, 0.0), reference.get(label, 0.0)) for label in bins]
    rest = (1 - math.fsum(share for share, _ in pairs), 1 - math.fsum(share for _, share in pairs))
    return math.fsum(_term(*pair) for pair in [*pairs, rest])


def compare(num_rows: int, histograms: Mapping[str, Histogram], before: Sequence[Before], *, columns: Sequence[str]) -> Comparison:
    """Compare a table of a day with the same table of earlier days.

    before: each earlier day's `measures` and `histograms` of the table, at least one.
    Returns `count_ratio` and `<column>_psi`, and a line for each of them that cannot be told.
    """
    found: dict[str, float] = {}
    missing: list[str] = []
    mean = math.fsum(earlier["measures"]["num_rows"] for earlier in before) / len(before)
    if mean:
        found["count_ratio"] = num_rows / mean
    else:
        missing.append("count_ratio was not run: the earlier days have no row")
    for column in columns:
        known = [earlier["histograms"][column] for earlier in before if column in earlier["histograms"]]
        if known and column in histograms:
            found[f"{column}_psi"] = stability_index(histograms[column], known)
        else:
            missing.append(f"{column}_psi was not run: the column has no rows on {'the day' if known else 'the earlier days'}")
    return found, missing


def _term(share: float, expected: float) -> float:
    p, q = max(share, _FLOOR), max(expected, _FLOOR)
    return (p - q) * math.log(p / q)


def _bucket(name: str) -> pl.Expr:
    """Return the bucket of a number as text; infinities and NaN have none."""
    value = pl.col(name).cast(pl.Float64)
    doubled = (4 * (1 + value.abs()).log(2)).floor() * value.sign()
    return doubled.cast(pl.Int64, strict=False).cast(pl.String)
