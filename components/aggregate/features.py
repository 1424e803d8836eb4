"""User and item features as of the end of a day, from the samples of its history window.

Relative to D: `1d` is D, `7d` is [D-6, D], `30d` the history window [D - history_days + 1, D], all by the day of exposure; ages count
back from the end of D. A click, action or conversion at or after the end of D is not known yet, whatever cut-off its sample has.
"""

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from components.settings import Aggregate
from components.tables import INSTANT

_EVENTS = {"impression": "exposed_at", "click": "clicked_at", "action": "acted_at", "conversion": "converted_at"}


def user_features(samples: pl.LazyFrame, *, day: date, options: Aggregate, category: str) -> pl.LazyFrame:
    """Compute the features of each user that was shown anything in the history window.

    samples: one row per impression, with `day`; other days may be among them and count for nothing. category: the column with an item's
    category, empty where there is none. Returns the columns of `user_features` without `day`, sorted by user_id.
    """
    known = _keep_known(samples, day, options).filter(pl.col("user_id").is_not_null())
    lists = _list_clicks(known, length=options.list_length, category=category)
    activity = _summarise(known, _overall_rates(samples, day, options), entity="user", day=day, options=options)
    listed = activity.join(lists, on="user_id", how="left", maintain_order="left", validate="1:1")
    return listed.with_columns(pl.col("^user_click_(items|categories)_30d$").fill_null([])).sort("user_id")


def item_features(samples: pl.LazyFrame, *, day: date, options: Aggregate) -> pl.LazyFrame:
    """Compute the features of each item that was shown in the history window.

    samples: as for `user_features`. Returns the columns of `item_features` without `day`, sorted by item_id.
    """
    known = _keep_known(samples, day, options)
    return _summarise(known, _overall_rates(samples, day, options), entity="item", day=day, options=options).sort("item_id")


def _end(day: date) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(days=1)


def _keep_known(samples: pl.LazyFrame, day: date, options: Aggregate) -> pl.LazyFrame:
    """Keep the history window's samples and, of each, the events before the end of `day`: a later one is null."""
    window = pl.col("day").is_between(day - timedelta(days=options.history_days - 1), day)
    known = [pl.when(pl.col(at) < _end(day)).then(at).alias(at) for at in _EVENTS.values()]
    return samples.filter(window).with_columns(known)


def _counts(day: date) -> dict[str, pl.Expr]:
    """Counts of events of the samples of `day` and of the 7 days to it, by name without the entity."""
    windows = {"1d": pl.col("day") == day, "7d": pl.col("day") > day - timedelta(days=7)}
    return {
        f"{event}_count_{name}": (window & pl.col(at).is_not_null()).sum().cast(pl.Int64)
        for event, at in _EVENTS.items()
        for name, window in windows.items()
    }


def _overall_rates(samples: pl.LazyFrame, day: date, options: Aggregate) -> pl.LazyFrame:
    """Return one row: the click rate and the conversion rate over all samples of 7 days; 0 where there is nothing to divide by."""
    counts = _hold(_keep_known(samples, day, options).select(**_counts(day)))
    shares = {"click_rate": ("click", "impression"), "conversion_rate": ("conversion", "click")}
    return counts.select(
        (pl.col(f"{part}_count_7d") / pl.col(f"{whole}_count_7d")).fill_nan(0.0).alias(name) for name, (part, whole) in shares.items()
    )


def _summarise(known: pl.LazyFrame, rates: pl.LazyFrame, *, entity: str, day: date, options: Aggregate) -> pl.LazyFrame:
    """Return counts, smoothed rates and ages of each value of `<entity>_id`, in the order of the table's columns."""
    last = {f"last_{event}": pl.col(_EVENTS[event]).max() for event in ("impression", "click")}
    grouped = known.group_by(f"{entity}_id").agg(**_counts(day), **last).join(rates, how="cross")
    smoothed = {
        "click_rate_7d": _smooth("click", "impression", options.prior_impressions),
        "conversion_rate_7d": _smooth("conversion", "click", options.prior_clicks),
    }
    ages = {f"{event}_age_s_30d": (_end(day) - pl.col(f"last_{event}")).dt.total_seconds() for event in ("impression", "click")}
    features = {name: pl.col(name) for name in _counts(day)} | smoothed | ages
    return grouped.select(
        f"{entity}_id",
        pl.lit(_end(day), INSTANT).alias("event_timestamp"),
        *(column.alias(f"{entity}_{name}") for name, column in features.items()),
    )


def _smooth(part: str, whole: str, prior: float) -> pl.Expr:
    """Shrink a rate towards the overall one, which weighs as much as `prior` observations."""
    return (pl.col(f"{part}_count_7d") + prior * pl.col(f"{part}_rate")) / (pl.col(f"{whole}_count_7d") + prior)


def _list_clicks(known: pl.LazyFrame, *, length: int, category: str) -> pl.LazyFrame:
    """Return each clicking user's last `length` clicked items, and the categories known among them, the most recent first."""
    value = pl.col(category).cast(pl.String) if category else pl.lit(None, pl.String)
    clicks = known.filter(pl.col("clicked_at").is_not_null()).select("user_id", "clicked_at", "impression_id", "item_id", category=value)
    recent = _hold(
        clicks.sort("user_id", "clicked_at", "impression_id", descending=[False, True, True])
        .group_by("user_id", maintain_order=True)
        .head(length)
    )
    return recent.group_by("user_id", maintain_order=True).agg(
        user_click_items_30d="item_id", user_click_categories_30d=pl.col("category").drop_nulls()
    )


def _hold(small: pl.LazyFrame) -> pl.LazyFrame:
    """Compute a small frame now: with two readers in one plan, Polars keeps the whole history in memory between them."""
    return small.collect(engine="streaming").lazy()
