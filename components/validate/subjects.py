"""What is looked at: the tables of a day, each with its schema, key, required columns, defects and compared columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from components.profile import EVENT_KEY, EVENT_TIME, Kind
from components.settings import Settings
from components.tables import DAYS, EVENTS, FEATURES, INSTANT, OUTCOMES, PREDICTIONS, QUARANTINE, SAMPLES, Schema, Table, context_schema
from components.validate.defects import (
    Conditions,
    event_defects,
    feature_defects,
    outcome_defects,
    prediction_defects,
    required_columns,
    sample_defects,
)

_WINDOW_DAYS = 7
_SCORES = ("pctr", "pcvr", "pctcvr")


@dataclass(frozen=True)
class Subject:
    """A table of a day and what is to be measured in it."""

    name: str
    schema: Schema
    """Columns and types that it must have."""
    day: date
    partition: tuple[str, ...]
    """The columns that a scan of the lake adds."""
    key: tuple[str, ...]
    required: tuple[str, ...]
    defects: Conditions
    instant: str = ""
    """When a row happened; empty where all rows of a day share it."""
    drifting: tuple[str, ...] = ()
    """Columns whose distribution is compared with the days before."""
    strict: bool = True
    """Whether a column that is unlike itself stops the day, or is but reported."""
    least_days: int = 1
    """Earlier days from which on distributions are compared: features only fill their windows before."""
    ids: tuple[str, ...] = ()
    """Columns whose values are looked for among yesterday's."""


def describe_subjects(day: date, settings: Settings) -> Iterator[Subject]:
    """Name the samples, then every kind of event that the profile declares, then the quarantine."""
    profile = settings.profile
    yield Subject(
        SAMPLES.name,
        SAMPLES.columns(profile),
        day,
        SAMPLES.partition,
        key=SAMPLES.key,
        required=required_columns(SAMPLES.name, profile),
        defects=sample_defects(day, settings.labels),
        instant="exposed_at",
        drifting=(*(("position",) if "position" in profile.impressions.columns else ()), *context_schema(profile)),
        ids=("user_id", "item_id") if profile.has_users else ("item_id",),
    )
    for kind in profile.kinds:
        yield _describe_events(day, kind, settings)
    yield Subject(
        QUARANTINE.name,
        QUARANTINE.columns(profile),
        day,
        QUARANTINE.partition,
        key=QUARANTINE.key,
        required=("file", "row", "reason"),
        defects={},
        drifting=("reason",),
    )


def describe_derived(table: Table, day: date, settings: Settings) -> Subject:
    """Describe a table that a later step writes: the outcomes, the predictions, or any table of features, by its columns."""
    schema = table.columns(settings.profile)
    defects, drifting, instant = feature_defects(day, schema), _comparable(table, schema), ""
    required = tuple(name for name in (*table.key, "event_timestamp") if name in schema)
    if table in DAYS:
        drifting = ()
    if table == OUTCOMES:
        defects, drifting, instant = outcome_defects(day, settings.labels), ("outcome",), "happened_at"
        required = ("impression_id", "outcome", "item_id", "exposed_at", "happened_at")
    if table == PREDICTIONS:
        defects, drifting, required = prediction_defects(), _SCORES, tuple(schema)
    least_days = _WINDOW_DAYS if table in FEATURES else 1
    return Subject(
        table.name, schema, day, table.partition, table.key, required, defects, instant, drifting, strict=False, least_days=least_days
    )


def _describe_events(day: date, kind: Kind, settings: Settings) -> Subject:
    table, mapped = EVENTS[kind], getattr(settings.profile, kind).columns
    return Subject(
        kind,
        table.columns(settings.profile),
        day,
        table.partition,
        key=(EVENT_KEY[kind],),
        required=required_columns(kind, settings.profile),
        defects=event_defects(day, kind),
        instant=EVENT_TIME[kind],
        drifting=("amount",) if "amount" in mapped else (),
    )


def _comparable(table: Table, schema: Schema) -> tuple[str, ...]:
    """Return the columns of a table of features that a histogram can tell of: numbers, words, Booleans, lists by their length.

    Not the smoothed rates: most keys stand at the overall rate, which moves a little every day, and all their rows with it.
    """
    left_out = {*table.key, *(name for name in schema if "_rate_" in name)}
    return tuple(name for name, dtype in schema.items() if name not in left_out and dtype != INSTANT and dtype != pl.List(INSTANT))
