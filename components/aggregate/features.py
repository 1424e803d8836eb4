"""Sums to features: counts, smoothed rates, recency, mean prices and lists, as of the end of a day."""

from collections.abc import Mapping
from datetime import date

import polars as pl

from components.aggregate.days import end_of
from components.aggregate.windows import RATES, USER_CATEGORY, Entity
from components.profile import Profile
from components.settings import Aggregate
from components.tables import INSTANT, PRICED, behaviour_lists

Priors = Mapping[str, tuple[float, float]]
"""Rate and window, as `click_rate_7d` -> the overall rate, and how many observations it weighs as much as."""


def make_priors(overall: Mapping[str, float], options: Aggregate) -> Priors:
    """Give the overall rates their weights."""
    weights = {"click_rate": options.prior_impressions, "conversion_rate": options.prior_clicks}
    return {name: (common, weights[name.rsplit("_", 1)[0]]) for name, common in overall.items()}


def make_features(sums: pl.LazyFrame, priors: Priors, entity: Entity, *, day: date, profile: Profile) -> pl.LazyFrame:
    """Return the entity's features as of the end of `day` in the table's columns, sorted by key.

    sums: one row per key, with counts, ages and prices, and for users the lists. priors: what smoothed rates shrink to.
    """
    made = {"event_timestamp": pl.lit(end_of(day), INSTANT)}
    if entity is not USER_CATEGORY:
        made |= _rates(entity, priors) | (_mean_prices(entity) if profile.price else {})
    return sums.with_columns(**made).select(list(entity.features.columns(profile))).sort(entity.features.key)


def join_lists(sums: pl.LazyFrame, lists: pl.LazyFrame, pairs: pl.LazyFrame, *, profile: Profile) -> pl.LazyFrame:
    """Add to each user's sums the lists, empty where there are none, and how many different items and categories are in them.

    lists: at most one row per user. pairs: `user_category_features` of the day. Items are told apart within the list, which is as long
    as `list_length` allows; categories over the whole 30 days.
    """
    columns = [column for attributes in behaviour_lists(profile).values() for column in attributes.values()]
    joined = sums.join(lists, on="user_id", how="left", validate="1:1").with_columns(pl.col(columns).fill_null([]))
    distinct = {"user_click_distinct_items_30d": pl.col("user_click_items_30d").list.n_unique().cast(pl.Int64)}
    if not profile.category:
        return joined.with_columns(**distinct, user_click_categories_30d=pl.lit([], pl.List(pl.String)))
    clicked = pairs.filter(pl.col("user_category_click_count_30d") > 0)
    categories = clicked.group_by("user_id").agg(user_click_distinct_categories_30d=pl.len().cast(pl.Int64))
    counted = joined.join(categories, on="user_id", how="left", validate="1:1")
    return counted.with_columns(pl.col("user_click_distinct_categories_30d").fill_null(0), **distinct)


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
