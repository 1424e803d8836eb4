"""What one day adds to the features: sums per user, per item and per user and category, as small as the day's keys.

An impression counts on the day it was shown, an outcome on the day it became known (table `outcomes`).
"""

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from components.profile import Profile
from components.tables import ITEM_DAYS, OUTCOME_KINDS, PRICED, USER_CATEGORY_DAYS, USER_DAYS, Table

_LARGEST_PRICE = 1e9


def end_of(day: date) -> datetime:
    """Return the first instant after a UTC day."""
    return datetime.combine(day, time(), UTC) + timedelta(days=1)


def select_shown(samples: pl.LazyFrame, profile: Profile) -> pl.LazyFrame:
    """Return what `sum_shown` reads of the samples of a day."""
    return samples.select("user_id", "item_id", "exposed_at", *([_hundredths(profile)] if profile.price else []))


def sum_shown(shown: pl.LazyFrame, profile: Profile) -> dict[Table, pl.LazyFrame]:
    """Sum up impressions of a day into rows that `total` adds up; any chunks of the day's impressions add up to the day."""
    sums = [pl.len().cast(pl.Int64).alias("impression_count"), pl.col("exposed_at").max().alias("last_impression_at")]
    prices = {ITEM_DAYS: _prices("price", pl.col("hundredths"))} if profile.price else {}
    summed = {table: shown.group_by(table.key).agg(*sums, *prices.get(table, [])) for table in (USER_DAYS, ITEM_DAYS)}
    return {table: rows.filter(pl.col(table.key[0]).is_not_null()) for table, rows in summed.items()}  # of the sums, which are few


def sum_outcomes(outcomes: pl.LazyFrame, *, day: date, profile: Profile) -> dict[Table, pl.LazyFrame]:
    """Sum up outcomes that became known on a day into rows that `total` adds up; shares of different users add up to the day.

    outcomes: one row per click, action and conversion. One that happened after the end of the day counts for nothing.
    """
    known = outcomes.filter(pl.col("happened_at") < end_of(day))
    none = pl.LazyFrame(schema=USER_CATEGORY_DAYS.columns(profile))
    pairs = _outcomes(known, USER_CATEGORY_DAYS, profile) if profile.category else none
    return {**{table: _outcomes(known, table, profile) for table in (USER_DAYS, ITEM_DAYS)}, USER_CATEGORY_DAYS: pairs}


def total(parts: pl.LazyFrame, table: Table, profile: Profile) -> pl.LazyFrame:
    """Add up the rows of each key, 0 where it has none of something; one row per key, sorted by it."""
    schema = table.columns(profile)
    lasts = [name for name in schema if name.startswith("last_")]
    sums = [name for name in schema if name not in (*table.key, *lasts)]
    rows = pl.concat([pl.LazyFrame(schema=schema), parts], how="diagonal")
    return rows.group_by(table.key).agg(pl.col(sums).sum(), pl.col(lasts).max()).select(list(schema)).sort(table.key)


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
