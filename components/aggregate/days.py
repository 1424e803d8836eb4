"""What one day adds to the features: sums per user, per item and per user and category, as small as the day's keys.

An impression counts on the day it was shown, an outcome on the day it became known (table `outcomes`).
"""

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from components.profile import Profile
from components.tables import COUNTED, DAYS, ITEM_DAYS, OUTCOME_KINDS, PRICED, USER_CATEGORY_DAYS, USER_DAYS, Table

_LARGEST_PRICE = 1e9


def end_of(day: date) -> datetime:
    """Return the first instant after a UTC day."""
    return datetime.combine(day, time(), UTC) + timedelta(days=1)


def contribute(samples: pl.LazyFrame, outcomes: pl.LazyFrame, *, day: date, profile: Profile) -> dict[Table, pl.LazyFrame]:
    """Sum up a day: `user_days`, `item_days` and `user_category_days`, each sorted by its key.

    samples: one row per impression of the day. outcomes: one row per click, action and conversion that became known on it; one that
    happened after its end counts for nothing. What is held grows with keys, not impressions.
    """
    known = outcomes.filter(pl.col("happened_at") < end_of(day))
    parts = {table: [_impressions(samples, table, profile), _outcomes(known, table, profile)] for table in (USER_DAYS, ITEM_DAYS)}
    parts[USER_CATEGORY_DAYS] = [_outcomes(known, USER_CATEGORY_DAYS, profile)] if profile.category else []
    return {table: _add_up(parts[table], table, profile) for table in DAYS}


def _impressions(samples: pl.LazyFrame, table: Table, profile: Profile) -> pl.LazyFrame:
    shown = [pl.len().cast(pl.Int64).alias("impression_count"), pl.col("exposed_at").max().alias("last_impression_at")]
    priced = _prices("price", pl.lit(value=True), profile) if table is ITEM_DAYS and profile.price else []
    return samples.filter(pl.col(table.key[0]).is_not_null()).group_by(table.key).agg(*shown, *priced)


def _outcomes(known: pl.LazyFrame, table: Table, profile: Profile) -> pl.LazyFrame:
    """Sum up the outcomes by the table's key; what has no user, or no category, is left out where they are the key."""
    category = pl.col(profile.category).cast(pl.String) if profile.category else pl.lit(None, pl.String)
    happened = {kind: pl.col("outcome") == kind for kind in OUTCOME_KINDS}
    sums = [happened[kind].sum().cast(pl.Int64).alias(f"{kind}_count") for kind in OUTCOME_KINDS]
    sums += [pl.col("happened_at").filter(happened[kind]).max().alias(f"last_{kind}_at") for kind in OUTCOME_KINDS]
    if table is ITEM_DAYS:
        sums.append(pl.col("user_id").filter(happened["click"]).drop_nulls().n_unique().cast(pl.Int64).alias("click_user_days"))
    if table is USER_DAYS and profile.price:
        sums += [part for prices in PRICED["user"] for part in _prices(prices, happened[prices.removesuffix("_price")], profile)]
    keyed = known.select(pl.all(), category.alias("category")) if table is USER_CATEGORY_DAYS and profile.category != "category" else known
    whole = pl.all_horizontal(pl.col(name).is_not_null() for name in table.key)
    return keyed.filter(whole).group_by(pl.col(name).cast(pl.String) for name in table.key).agg(sums)


def _prices(name: str, counted: pl.Expr, profile: Profile) -> list[pl.Expr]:
    """Count and add up prices in whole hundredths, exactly. A price that is no number, or 1e9 or more either way, is none."""
    price = pl.col(profile.price).cast(pl.Float64)
    hundredths = pl.when(counted & (price.abs() < _LARGEST_PRICE)).then((price * 100).round()).cast(pl.Int64)
    return [hundredths.count().cast(pl.Int64).alias(f"{name}_count"), hundredths.sum().alias(f"{name}_cents")]


def _add_up(parts: list[pl.LazyFrame], table: Table, profile: Profile) -> pl.LazyFrame:
    """Join the impressions and the outcomes of each key, 0 where a key has none of one. Not validated: keys are single, and it streams."""
    schema = table.columns(profile)
    if not parts:
        return pl.LazyFrame(schema=schema)
    joined = parts[0] if len(parts) == 1 else parts[0].join(parts[1], on=table.key, how="full", coalesce=True)
    lasts = [f"last_{event}_at" for event in COUNTED]
    return joined.with_columns(pl.exclude(*table.key, *lasts).fill_null(0)).select(list(schema)).sort(table.key)
