"""The one join that gives samples their features; train, evaluate and validate all read through it.

Relative to a sample's day D, the features are those of D-1: what the online store holds while D is served.
"""

import polars as pl


def assemble(samples: pl.LazyFrame, user_features: pl.LazyFrame, item_features: pl.LazyFrame) -> pl.LazyFrame:
    """Add to each sample its user's and its item's features as of the end of the day before.

    samples: one row per impression, of one or more days, with `day`. user_features, item_features: one row per id and day, with `day`.
    Returns every sample once, in the order given, with all feature columns but event_timestamp; null where the id has none, or is null.
    Raises polars.exceptions.ComputeError on collect if an id has two rows of one day.
    """
    return _join_features(_join_features(samples, user_features, key="user_id"), item_features, key="item_id")


def _join_features(samples: pl.LazyFrame, features: pl.LazyFrame, *, key: str) -> pl.LazyFrame:
    """Join one entity's features. Uniqueness is checked on the features alone: `validate` on the outer join would collect the samples."""
    on = [key, "day"]
    next_day = features.drop("event_timestamp").with_columns(pl.col("day").dt.offset_by("1d"))
    checked = next_day.join(next_day.select(on), on=on, how="left", maintain_order="left", validate="1:1")
    return samples.join(checked, on=on, how="left", maintain_order="left")
