"""Sums over the 1, 7 and 30 days to a day: yesterday's, plus the day, less the days that leave; or all days of the window.

Both give the same numbers: counts and hundredths are integers, and an age is the time since the last event.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from components.aggregate.days import end_of
from components.profile import Profile
from components.tables import (
    COUNTED,
    ITEM_DAYS,
    ITEM_FEATURES,
    USER_CATEGORY_DAYS,
    USER_CATEGORY_FEATURES,
    USER_DAYS,
    USER_FEATURES,
    Table,
    summed,
)

LONGEST = 30
_WINDOWS = (1, 7, LONGEST)
_DAY_S = 86_400


@dataclass(frozen=True)
class Entity:
    """What features are of: its name, its table of features and its table of single days."""

    name: str
    features: Table
    days: Table

    @property
    def ages(self) -> list[str]:
        """The events of which an age is kept."""
        return [] if self is USER_CATEGORY else list(COUNTED)


USER = Entity("user", USER_FEATURES, USER_DAYS)
ITEM = Entity("item", ITEM_FEATURES, ITEM_DAYS)
USER_CATEGORY = Entity("user_category", USER_CATEGORY_FEATURES, USER_CATEGORY_DAYS)


def days_to_roll(day: date) -> list[date]:
    """Return the days whose sums turn yesterday's windows into those of `day`: itself, and those that leave."""
    return [day, *(day - timedelta(days=width) for width in _WINDOWS[1:])]


def days_in_window(day: date) -> list[date]:
    """Return the days of the longest window to `day`, ascending."""
    return [day - timedelta(days=number) for number in reversed(range(LONGEST))]


def collect_parts(days: pl.LazyFrame, yesterday: pl.LazyFrame | None, entity: Entity, *, day: date, profile: Profile) -> pl.LazyFrame:
    """Return rows that add up to the windows of `day`, any number per key, under the names of the features.

    days: single days' sums, with `day`: of `days_to_roll` beside yesterday's features, else of `days_in_window`. An age is that at the
    end of `day`, however old.
    """
    sums = summed(entity.name, profile)
    weights = _rolling_weights(day) if yesterday is not None else _window_weights(day)
    named = {f"{entity.name}_{measure}_{width}d": pl.col(measure) * weights[width] for measure, widths in sums.items() for width in widths}
    ages = {f"{entity.name}_{event}_age_s_30d": _age(event, day) for event in entity.ages}
    parts = [days.select(*entity.days.key, **named, **ages)]
    if yesterday is not None:
        kept = [name for name in named if not name.endswith("_1d")]
        parts.append(yesterday.select(*entity.days.key, *kept, *(pl.col(name) + _DAY_S for name in ages)))
    return pl.concat(parts, how="diagonal")


def add_up(parts: pl.LazyFrame, entity: Entity, *, profile: Profile) -> pl.LazyFrame:
    """Return the sums and ages of each key with an event in its 30 days; an age beyond them is null. In no particular order."""
    sums = [f"{entity.name}_{measure}_{width}d" for measure, widths in summed(entity.name, profile).items() for width in widths]
    ages = [f"{entity.name}_{event}_age_s_30d" for event in entity.ages]
    active = pl.any_horizontal(pl.col(name) > 0 for name in sums if name.endswith("_count_30d"))
    recent = [pl.when(pl.col(name) <= LONGEST * _DAY_S).then(name).alias(name) for name in ages]
    return parts.group_by(entity.days.key).agg(pl.col(sums).sum(), pl.col(ages).min()).filter(active).with_columns(recent)


def overall_rates(parts: pl.LazyFrame, entity: Entity) -> dict[str, float]:
    """Return each rate of each window over all keys, as `click_rate_7d`; 0 where there is nothing to divide by."""
    counts = [f"{entity.name}_{event}_count_{width}d" for event in ("impression", "click", "conversion") for width in _WINDOWS]
    sums = parts.select(pl.col(counts).sum()).collect(engine="streaming").row(0, named=True)
    rates = {}
    for rate, (part, whole) in RATES.items():
        for width in _WINDOWS:
            counted = sums[f"{entity.name}_{whole}_count_{width}d"]
            rates[f"{rate}_{width}d"] = sums[f"{entity.name}_{part}_count_{width}d"] / counted if counted else 0.0
    return rates


RATES: Mapping[str, tuple[str, str]] = {"click_rate": ("click", "impression"), "conversion_rate": ("conversion", "click")}
"""Rate -> what is divided by what."""


def _rolling_weights(day: date) -> dict[int, pl.Expr]:
    """Count the day itself for each window, and against it the day that leaves it."""
    leaves = {width: pl.col("day") == day - timedelta(days=width) for width in _WINDOWS}
    return {width: (pl.col("day") == day).cast(pl.Int64) - leaves[width].cast(pl.Int64) for width in _WINDOWS}


def _window_weights(day: date) -> dict[int, pl.Expr]:
    """Count each day of a window."""
    return {width: (pl.col("day") > day - timedelta(days=width)).cast(pl.Int64) for width in _WINDOWS}


def _age(event: str, day: date) -> pl.Expr:
    """Return the seconds from an event to the end of `day`, a begun second counted whole."""
    age_us = (pl.lit(end_of(day)) - pl.col(f"last_{event}_at")).dt.total_microseconds()
    return (age_us + 999_999) // 1_000_000
