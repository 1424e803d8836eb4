"""What one day adds to the features: sums per user, per item and per user and category, as small as the day's keys.

An impression counts on the day it was shown, an outcome on the day it became known (table `outcomes`).
"""

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from components.profile import Profile
from components.tables import DAYS, ITEM_DAYS, OUTCOME_KINDS, PRICED, USER_CATEGORY_DAYS, USER_DAYS, Table

_LARGEST_PRICE = 1e9


def end_of(day: date) -> datetime:
    """Return the first instant after a UTC day."""
    return datetime.combine(day, time(), UTC) + timedelta(days=1)


def contribute(samples: pl.LazyFrame, outcomes: pl.LazyFrame, *, day: date, profile: Profile) -> dict[Table, pl.LazyFrame]:
    """Sum up a day, or some users' share of it, into rows that `total` adds up to `user_days`, `item_days` and `user_category_days`.

    samples: one row per impression of the day. outcomes: one row per click, action and conversion that became known on it; one that
    happened after its end counts for nothing. Shares of different users add up to the day. What is held grows with keys, not impressions.
    """
    known = outcomes.filter(pl.col("happened_at") < end_of(day))
    parts = {table: [_impressions(samples, table, profile), _outcomes(known, table, profile)] for table in (USER_DAYS, ITEM_DAYS)}
    parts[USER_CATEGORY_DAYS] = [_outcomes(known, USER_CATEGORY_DAYS, profile)] if profile.category else []
    return {table: pl.concat([pl.LazyFrame(schema=table.columns(profile)), *parts[table]], how="diagonal") for table in DAYS}


def total(parts: pl.LazyFrame, table: Table, profile: Profile) -> pl.LazyFrame:
    """Add up the rows of each key, 0 where it has none of something; one row per key, sorted by it."""
    columns = list(table.columns(profile))
    lasts = [name for name in columns if name.startswith("last_")]
    sums = [name for name in columns if name not in (*table.key, *lasts)]
    return parts.group_by(table.key).agg(pl.col(sums).sum(), pl.col(lasts).max()).select(columns).sort(table.key)


def _impressions(samples: pl.LazyFrame, table: Table, profile: Profile) -> pl.LazyFrame:
    shown = [pl.len().cast(pl.Int64).alias("impression_count"), pl.col("exposed_at").max().alias("last_impression_at")]
    priced = table is ITEM_DAYS and bool(profile.price)
    rows = samples.select(*table.key, "exposed_at", *([_hundredths(profile)] if priced else []))
    summed = rows.group_by(table.key).agg(*shown, *(_prices("price", pl.col("hundredths")) if priced else []))
    return summed.filter(pl.col(table.key[0]).is_not_null())  # of the sums, which are few


def _outcomes(known: pl.LazyFrame, table: Table, profile: Profile) -> pl.LazyFrame:
    """Sum up the outcomes by the table's key; what has no user, or no category, is left out where they are the key."""
    category = pl.col(profile.category).cast(pl.String) if profile.category else pl.lit(None, pl.String)
    happened = {kind: pl.col("outcome") == kind for kind in OUTCOME_KINDS}
    sums = [happened[kind].sum().cast(pl.Int64).alias(f"{kind}_count") for kind in OUTCOME_KINDS]
    sums += [pl.col("happened_at").filter(happened[kind]).max().alias(f"last_{kind}_at") for kind in OUTCOME_KINDS]
    if table is ITEM_DAYS:
        sums.append(pl.col("user_id").filter(happened["click"]).drop_nulls().n_unique().cast(pl.Int64).alias("click_user_days"))
    if table is USER_DAYS and profile.price:
        counted = {prices: happened[prices.removesuffix("_price")] for prices in PRICED["user"]}
        sums += [part for prices, kind in counted.items() for part in _prices(prices, _hundredths(profile).filter(kind))]
    keyed = known.select(pl.all(), category.alias("category")) if table is USER_CATEGORY_DAYS and profile.category != "category" else known
    whole = pl.all_horizontal(pl.col(name).is_not_null() for name in table.key)
    return keyed.filter(whole).group_by(pl.col(name).cast(pl.String) for name in table.key).agg(sums)


def _hundredths(profile: Profile) -> pl.Expr:
    """Return the price in whole hundredths. One that is no number, or 1e9 or more either way, is none."""
    price = pl.col(profile.price).cast(pl.Float64)
    return pl.when(price.abs() < _LARGEST_PRICE).then((price * 100).round()).cast(pl.Int64).alias("hundredths")


def _prices(name: str, hundredths: pl.Expr) -> list[pl.Expr]:
    """Count and add up prices, exactly."""
    return [hundredths.count().cast(pl.Int64).alias(f"{name}_count"), hundredths.sum().alias(f"{name}_cents")]
