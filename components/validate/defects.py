"""What must never be true of a row, per table: name of the measure -> condition. The exact count and the examples both come from here.

A condition is null, and so not counted, where one of its inputs is missing; missing values have measures of their own.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import polars as pl

from components.profile import EVENT_KEY, EVENT_TIME, Kind, Profile
from components.settings import Labels
from components.tables import Schema

Conditions = Mapping[str, pl.Expr]
OUTCOMES: Mapping[str, str] = {"clicked": "clicked_at", "acted": "acted_at", "converted": "converted_at"}
_WINDOWED = re.compile(r"(.*_count)_(\d+)d")


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
    start, end = bounds(day)
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
    _, end = bounds(day)
    amounts = {"num_negative_amounts": pl.col("amount") < 0} if kind == "purchases" else {}
    return {"num_after_day": pl.col(EVENT_TIME[kind]) >= end, **amounts}


def outcome_defects(day: date, windows: Labels) -> Conditions:
    """Return the defects of an outcome that became known in the run of `day`."""
    _, end = bounds(day)
    happened, exposed = pl.col("happened_at"), pl.col("exposed_at")
    return {
        "num_unknown_outcomes": ~pl.col("outcome").is_in(["click", "action", "conversion"]),
        "num_after_day": happened >= end,
        "num_before_exposure": happened < exposed,
        "num_beyond_windows": happened > exposed + windows.click_window + windows.conversion_window,
    }


def feature_defects(day: date, schema: Schema) -> Conditions:
    """Return the defects of a row of features, told by the names of its columns: `_count`, `_count_<n>d`, `_rate_`, `_age_s_`."""
    _, end = bounds(day)
    counts = [pl.col(name) for name, dtype in schema.items() if re.search(r"_count(_|$)", name) and dtype == pl.Int64]
    rates = [pl.col(name) for name in schema if "_rate_" in name]
    ages = [pl.col(name) for name in schema if "_age_s_" in name]
    floats = [pl.col(name) for name, dtype in schema.items() if dtype in (pl.Float32, pl.Float64)]
    found = {
        "num_negative_counts": [column < 0 for column in counts],
        "num_counts_above_wider_window": [*_above_wider_windows(schema)],
        "num_rates_outside_0_and_1": [~column.is_between(0, 1) for column in rates],
        "num_negative_ages": [column < 0 for column in ages],
        "num_not_finite": [~column.is_finite() for column in floats],
        "num_other_timestamps": [pl.col("event_timestamp") != end] if "event_timestamp" in schema else [],
    }
    return {name: pl.any_horizontal(conditions) for name, conditions in found.items() if conditions}


def prediction_defects() -> Conditions:
    """Return the defects of a prediction: no probability, or a purchase more likely than its click."""
    scores = [pl.col(name) for name in ("pctr", "pcvr", "pctcvr")]
    return {
        "num_scores_outside_0_and_1": pl.any_horizontal(~(score.is_finite() & score.is_between(0, 1)) for score in scores),
        "num_purchases_likelier_than_clicks": pl.col("pctcvr") > pl.col("pctr") * (1 + 1e-6),
    }


def bounds(day: date) -> tuple[datetime, datetime]:
    """Return the first instant of a UTC day and that of the next."""
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


def _above_wider_windows(schema: Schema) -> Iterator[pl.Expr]:
    """Compare the counts of one event over their windows: what happened in a day happened in the week."""
    stems: dict[str, list[int]] = {}
    for name in schema:
        if found := _WINDOWED.fullmatch(name):
            stems.setdefault(found[1], []).append(int(found[2]))
    for stem, windows in stems.items():
        for narrow, wide in pairwise(sorted(windows)):
            yield pl.col(f"{stem}_{narrow}d") > pl.col(f"{stem}_{wide}d")
