"""Every table of the lake: name, key, partition column and Polars schema (README.md has their meaning).

Names and columns are stable: other programs read them. All instants are UTC microseconds; all ids are strings.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl
from polars.datatypes import DataType

from components.profile import EVENT_KEY, EVENT_TIME, ContextType, Kind, Profile

type_ = type[DataType] | DataType
Schema = dict[str, type_]
NUMBERS = (pl.Int32, pl.Int64, pl.Float64)
INSTANT = pl.Datetime("us", "UTC")
CONTEXT_TYPES: Mapping[ContextType, type_] = {
    "string": pl.String,
    "integer": pl.Int64,
    "float": pl.Float64,
    "boolean": pl.Boolean,
}


@dataclass(frozen=True)
class Table:
    """One table of the lake; a day of it is replaced as a whole."""

    name: str
    key: tuple[str, ...]
    partition: tuple[str, ...]
    """The day column first."""
    columns: Callable[[Profile], Schema]

    @property
    def day(self) -> str:
        """The day column."""
        return self.partition[0]

    def schema(self, profile: Profile) -> Schema:
        """Return all columns, the partition columns last."""
        parts: Schema = dict.fromkeys(self.partition, pl.String)
        return {**self.columns(profile), **parts, self.day: pl.Date}


def context_schema(profile: Profile) -> Schema:
    """Return the context columns of an impression."""
    return {name: CONTEXT_TYPES[kind] for name, kind in profile.context.items()}


def event_schema(kind: Kind, profile: Profile) -> Schema:
    """Return the canonical columns of one kind of event, without the partition."""
    key = {EVENT_KEY[kind]: pl.String, "impression_id": pl.String}
    schema: Schema = {**key, "user_id": pl.String, "item_id": pl.String, EVENT_TIME[kind]: INSTANT}
    if kind == "impressions":
        return {**schema, "position": pl.Int32, **context_schema(profile)}
    return {**schema, "amount": pl.Float64} if kind == "purchases" else schema


def _event_table(kind: Kind) -> Table:
    return Table(kind, (EVENT_KEY[kind],), ("arrived_on",), lambda profile: event_schema(kind, profile))


def _samples(profile: Profile) -> Schema:
    return {
        "impression_id": pl.String,
        "user_id": pl.String,
        "item_id": pl.String,
        "exposed_at": INSTANT,
        "position": pl.Int32,
        "clicked": pl.Boolean,
        "clicked_at": INSTANT,
        "acted": pl.Boolean,
        "acted_at": INSTANT,
        "converted": pl.Boolean,
        "converted_at": INSTANT,
        "labelled_through": INSTANT,
        "matures_at": INSTANT,
        **context_schema(profile),
    }


def _activity(entity: str) -> Schema:
    events = ("impression", "click", "action", "conversion")
    counts: Schema = {f"{entity}_{event}_count_{window}": pl.Int64 for event in events for window in ("1d", "7d")}
    rates: Schema = {f"{entity}_{event}_rate_7d": pl.Float64 for event in ("click", "conversion")}
    ages: Schema = {f"{entity}_{event}_age_s_30d": pl.Int64 for event in ("impression", "click")}
    return {**counts, **rates, **ages}


def _user_features(_: Profile) -> Schema:
    lists: Schema = {f"user_click_{what}_30d": pl.List(pl.String) for what in ("items", "categories")}
    return {"user_id": pl.String, "event_timestamp": INSTANT, **_activity("user"), **lists}


def _item_features(_: Profile) -> Schema:
    return {"item_id": pl.String, "event_timestamp": INSTANT, **_activity("item")}


def _quarantine(_: Profile) -> Schema:
    return {"file": pl.String, "row": pl.Int64, "reason": pl.String, "raw": pl.String}


def _predictions(_: Profile) -> Schema:
    probabilities: Schema = dict.fromkeys(("pctr", "pcvr", "pctcvr"), pl.Float64)
    return {"impression_id": pl.String, "model_version": pl.String, "role": pl.String, **probabilities}


def check_fields(profile: Profile) -> None:
    """Raise ValueError where a field of the model reads a column that is unknown, of the wrong type, or tells the outcome."""
    exposure: Schema = {"user_id": pl.String, "item_id": pl.String, "position": pl.Int32}
    readable: Schema = {**exposure, **context_schema(profile), **_user_features(profile), **_item_features(profile)}
    readable.pop("event_timestamp")
    for field in profile.fields:
        if field.source not in readable:
            raise ValueError(f"field {field.name} reads column {field.source!r}: expected one of {', '.join(readable)}")
        dtype = readable[field.source]
        fits = {"list": dtype == pl.List, "number": dtype in (*NUMBERS, pl.Boolean), "id": dtype != pl.List}
        if not fits[field.kind]:
            raise ValueError(f"field {field.name}: expected a column that a {field.kind} can be read from, found {field.source} of {dtype}")


IMPRESSIONS = _event_table("impressions")
CLICKS = _event_table("clicks")
ACTIONS = _event_table("actions")
PURCHASES = _event_table("purchases")
EVENTS: Mapping[Kind, Table] = {"impressions": IMPRESSIONS, "clicks": CLICKS, "actions": ACTIONS, "purchases": PURCHASES}
QUARANTINE = Table("quarantine", ("kind", "file", "row"), ("arrived_on", "kind"), _quarantine)
SAMPLES = Table("samples", ("impression_id",), ("day",), _samples)
USER_FEATURES = Table("user_features", ("user_id",), ("day",), _user_features)
ITEM_FEATURES = Table("item_features", ("item_id",), ("day",), _item_features)
PREDICTIONS = Table("predictions", ("impression_id", "role"), ("day",), _predictions)
TABLES = (*EVENTS.values(), QUARANTINE, SAMPLES, USER_FEATURES, ITEM_FEATURES, PREDICTIONS)
