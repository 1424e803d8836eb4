"""What must never be true of a row, per table: name of the measure -> condition. The exact count and the examples both come from here.

A condition is null, and so not counted, where one of its inputs is missing; missing values have measures of their own.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from components.profile import EVENT_KEY, EVENT_TIME, Kind, Profile
from components.settings import Labels

Conditions = Mapping[str, pl.Expr]
OUTCOMES: Mapping[str, str] = {"clicked": "clicked_at", "acted": "acted_at", "converted": "converted_at"}


def required_columns(table: str, profile: Profile) -> tuple[str, ...]:
    """Return the columns of `samples` or of a kind of event that every row fills, those of its key first."""
    if table == "samples":
        users = ("user_id",) if profile.has_users else ()
        return ("impression_id", *users, "item_id", "exposed_at", *OUTCOMES, "labelled_through", "matures_at")
    kind = next(kind for kind in profile.kinds if kind == table)
    mapped = getattr(profile, kind).columns
    return tuple(name for name in (EVENT_KEY[kind], "user_id", "item_id", EVENT_TIME[kind]) if name in mapped)


def sample_defects(day: date, windows: Labels) -> Conditions:
    """Return the defects of a sample of `day`: impossible funnels, and instants that its label cannot have."""
    start, end = _bounds(day)
    clicked, acted, converted = (pl.col(name) for name in OUTCOMES)
    clicked_at, acted_at, converted_at = (pl.col(name) for name in OUTCOMES.values())
    exposed_at, through = pl.col("exposed_at"), pl.col("labelled_through")
    unlike = [pl.col(flag) != pl.col(at).is_not_null() for flag, at in OUTCOMES.items()]
    return {
        "num_conversions_without_click": converted & ~clicked,
        "num_actions_without_click": acted & ~clicked,
        "num_clicks_before_exposure": clicked_at < exposed_at,
        "num_actions_before_click": acted_at < clicked_at,
        "num_conversions_before_click": converted_at < clicked_at,
        "num_flags_unlike_instants": pl.any_horizontal(unlike),
        "num_exposed_outside_day": ~exposed_at.is_between(start, end, closed="left"),
        "num_labelled_before_day_end": through < end,
        "num_outcomes_after_cut_off": pl.any_horizontal(pl.col(at) >= through for at in OUTCOMES.values()),
        "num_wrong_maturities": pl.col("matures_at") != exposed_at + windows.click_window + windows.conversion_window,
    }


def event_defects(day: date, kind: Kind) -> Conditions:
    """Return the defects of an event that arrived on `day`: it may be older than the day, never newer."""
    _, end = _bounds(day)
    return {"num_after_day": pl.col(EVENT_TIME[kind]) >= end}


def _bounds(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)
