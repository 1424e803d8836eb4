"""Sums to features: counts, smoothed rates, recency, mean prices and lists, as of the end of a day."""

from collections.abc import Mapping
from datetime import date

import polars as pl

from components.aggregate.days import end_of
from components.aggregate.windows import RATES, USER_CATEGORY, Entity
from components.profile import Profile
from components.settings import Aggregate
from components.tables import INSTANT, PRICED

Priors = Mapping[str, tuple[float, float]]
"""Rate and window, as `click_rate_7d` -> the overall rate, and how many observations it weighs as much as."""


def make_priors(overall: Mapping[str, float], options: Aggregate) -> Priors:
    """Give the overall rates their weights."""
    weights = {"click_rate": options.prior_impressions, "conversion_rate": options.prior_clicks}
    return {name: (common, weights[name.rsplit("_", 1)[0]]) for name, common in overall.items()}


def make_features(sums: pl.LazyFrame, priors: Priors, entity: Entity, *, day: date, profile: Profile) -> pl.LazyFrame:
    """Return the entity's features as of the end of `day` in the table's columns, in the order of `sums`.

    sums: one row per key, with counts, ages and prices, and for users the lists. priors: what smoothed rates shrink to.
    """
    made = {"event_timestamp": pl.lit(end_of(day), INSTANT)}
    if entity is not USER_CATEGORY:
        made |= _rates(entity, priors) | (_mean_prices(entity) if profile.price else {})
    return sums.with_columns(**made).select(list(entity.features.columns(profile)))


def count_distinct(lists: pl.DataFrame, pairs: pl.DataFrame, *, profile: Profile) -> pl.DataFrame:
    """Add to users' lists how many different items and categories each user clicked; without a category, no categories.

    lists: one row per user. pairs: the sums of these users and their categories, sorted by user. Items are told apart within the list,
    which is as long as `list_length` allows; categories over the whole 30 days.
    """
    counted = lists.with_columns(user_click_distinct_items_30d=pl.col("user_click_items_30d").list.n_unique().cast(pl.Int64))
    if not profile.category:
        return counted.with_columns(user_click_categories_30d=pl.lit([], pl.List(pl.String)))
    clicked = pairs.filter(pl.col("user_category_click_count_30d") > 0)
    found = clicked.select(pl.col("user_id").rle().struct.unnest()).rename({"value": "user_id"})
    categories = lists.select("user_id").join(found, on="user_id", how="left", validate="1:1", maintain_order="left")["len"]
    return counted.with_columns(user_click_distinct_categories_30d=categories.fill_null(0).cast(pl.Int64))


def _rates(entity: Entity, priors: Priors) -> dict[str, pl.Expr]:
    """Shrink each rate towards the overall one; 1 where outcomes of earlier days make it more."""
    rates = {}
    for name, (common, weight) in priors.items():
        rate, width = name.rsplit("_", 1)
        part, whole = (pl.col(f"{entity.name}_{event}_count_{width}") for event in RATES[rate])
        rates[f"{entity.name}_{name}"] = ((part + weight * common) / (whole + weight)).clip(upper_bound=1.0)
    return rates


def _mean_prices(entity: Entity) -> dict[str, pl.Expr]:
    """Return mean prices, null where there is no price."""
    means: dict[str, pl.Expr] = {}
    for prices in PRICED[entity.name]:
        cents, count = (pl.col(f"{entity.name}_{prices}_{what}_30d") for what in ("cents", "count"))
        means[f"{entity.name}_{prices}_mean_30d"] = pl.when(count > 0).then(cents / (100 * count))
    return means
