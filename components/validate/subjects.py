"""What is looked at: the tables of a day, each with its schema, key, required columns and defects."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from components.profile import EVENT_KEY, EVENT_TIME
from components.settings import Settings
from components.tables import EVENTS, SAMPLES, Schema, context_schema
from components.validate.defects import Conditions, event_defects, required_columns, sample_defects


@dataclass(frozen=True)
class Subject:
    """A table of a day and what is to be measured in it."""

    name: str
    schema: Schema
    """Columns and types that it must have."""
    partition: str
    """The day column, which a scan of the lake adds."""
    key: str
    instant: str
    required: tuple[str, ...]
    defects: Conditions
    drifting: tuple[str, ...] = ()
    """Columns whose distribution is compared with the days before."""


def describe_subjects(day: date, settings: Settings) -> Iterator[Subject]:
    """Name the samples, then every kind of event that the profile declares."""
    profile = settings.profile
    yield Subject(
        SAMPLES.name,
        SAMPLES.columns(profile),
        SAMPLES.day,
        key="impression_id",
        instant="exposed_at",
        required=required_columns(SAMPLES.name, profile),
        defects=sample_defects(day, settings.labels),
        drifting=("position", *context_schema(profile)),
    )
    for kind in profile.kinds:
        table = EVENTS[kind]
        defects = event_defects(day, kind)
        key, instant = EVENT_KEY[kind], EVENT_TIME[kind]
        yield Subject(kind, table.columns(profile), table.day, key, instant, required_columns(kind, profile), defects)
