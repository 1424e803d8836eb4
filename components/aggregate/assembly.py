"""The one join that gives samples their features; train, evaluate and validate all read through it.

Relative to a sample's day D, the features are those of D-1: what the online store holds while D is served.
"""

from collections.abc import Mapping

import polars as pl

from components.tables import ITEM_FEATURES, USER_CATEGORY_FEATURES, USER_FEATURES, Table


def assemble(samples: pl.LazyFrame, features: Mapping[Table, pl.LazyFrame], *, category: str = "") -> pl.LazyFrame:
    """Add to each sample the features, as of the end of the day before, of its user, its item and its user with its category.

    samples: one row per impression, of one or more days, with `day`. features: by table of features, one row per key and day, with `day`.
    category: the samples' column that holds the item's category; empty where there is none, and with it the pair's features.
    Returns every sample once, in the order given, with all feature columns but event_timestamp; null where the key has none, or is null.
    Raises polars.exceptions.ComputeError on collect if a key has two rows of one day.
    """
    assembled = samples
    for table in (USER_FEATURES, ITEM_FEATURES):
        assembled = _join_features(assembled, features[table], key=[pl.col(name) for name in table.key])
    if not category:
        return assembled
    pairs = features[USER_CATEGORY_FEATURES].rename({"category": _PAIRED})
    return _join_features(assembled, pairs, key=[pl.col("user_id"), pl.col(category).cast(pl.String).alias(_PAIRED)])


_PAIRED = "category of the pair"


def _join_features(samples: pl.LazyFrame, features: pl.LazyFrame, *, key: list[pl.Expr]) -> pl.LazyFrame:
    """Join one table's features. Uniqueness is checked on the features alone: `validate` on the outer join would collect the samples."""
    on = [*(column.meta.output_name() for column in key), "day"]
    next_day = features.drop("event_timestamp").with_columns(pl.col("day").dt.offset_by("1d"))
    checked = next_day.join(next_day.select(on), on=on, how="left", maintain_order="left", validate="1:1")
    joined = samples.with_columns(key).join(checked, on=on, how="left", maintain_order="left")
    return joined.drop(_PAIRED, strict=False)
