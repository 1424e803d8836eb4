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
Sums = dict[str, tuple[int, ...]]
OUTCOME_KINDS = ("click", "action", "conversion")
COUNTED = ("impression", *OUTCOME_KINDS)
PRICED: Mapping[str, tuple[str, ...]] = {"user": ("click_price", "conversion_price"), "item": ("price",)}
"""Prices of which the mean is a feature: of what a user clicked and bought, and of an item wherever it was shown."""
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


def _outcomes(profile: Profile) -> Schema:
    impression: Schema = {"impression_id": pl.String, "user_id": pl.String, "item_id": pl.String, "exposed_at": INSTANT}
    return {**impression, "outcome": pl.String, "happened_at": INSTANT, **context_schema(profile)}


def summed(entity: str, profile: Profile) -> Sums:
    """Return what is counted of `user`, `item` or `user_category`: measure -> windows in days.

    A day's contribution is a column `<measure>`, a feature `<entity>_<measure>_<days>d`. `click_user_days` adds up, day by day, the users
    that clicked; prices are sums of hundredths, exact, beside the number of prices.
    """
    if entity == "user_category":
        return {f"{outcome}_count": (7, 30) for outcome in OUTCOME_KINDS}
    counts = {f"{event}_count": (1, 7, 30) for event in COUNTED}
    visitors = {"click_user_days": (1, 30)} if entity == "item" else {}
    priced = PRICED[entity] if profile.price else ()
    return {**counts, **visitors, **{f"{prices}_{what}": (30,) for prices in priced for what in ("count", "cents")}}


def _contributions(entity: str, profile: Profile) -> Schema:
    """Return the sums of one day, and when each event last happened (the pairs' last events are nobody's feature)."""
    sums: Schema = dict.fromkeys(summed(entity, profile), pl.Int64)
    return sums if entity == "user_category" else {**sums, **{f"last_{event}_at": INSTANT for event in COUNTED}}


def _features(entity: str, profile: Profile) -> Schema:
    """Return counts, smoothed rates, ages and mean prices of one entity."""
    sums = {f"{entity}_{measure}_{days}d": pl.Int64 for measure, windows in summed(entity, profile).items() for days in windows}
    if entity == "user_category":
        return {"event_timestamp": INSTANT, **sums}
    rates: Schema = {f"{entity}_{event}_rate_{days}d": pl.Float64 for event in ("click", "conversion") for days in (1, 7, 30)}
    ages: Schema = {f"{entity}_{event}_age_s_30d": pl.Int64 for event in COUNTED}
    means: Schema = {f"{entity}_{prices}_mean_30d": pl.Float64 for prices in (PRICED[entity] if profile.price else ())}
    return {"event_timestamp": INSTANT, **sums, **rates, **ages, **means}


def list_attributes(profile: Profile) -> dict[str, str]:
    """Return what is listed of an outcome besides its item and its time, where the profile declares it: attribute -> context column."""
    found = {"categories": profile.category, "shops": profile.shop, "brands": profile.brand}
    return {attribute: column for attribute, column in found.items() if column}


def behaviour_lists(profile: Profile) -> dict[str, dict[str, str]]:
    """Return a user's lists: click, action, conversion and, of all three, behaviour -> attribute -> column; aligned with one another."""
    attributes = ("items", *list_attributes(profile), "times")
    return {
        kind: {name: f"user_{kind}_{name}_30d" for name in (*attributes, *(("kinds",) if kind == "behaviour" else ()))}
        for kind in (*OUTCOME_KINDS, "behaviour")
    }


def _user_features(profile: Profile) -> Schema:
    named = {column: name for lists in behaviour_lists(profile).values() for name, column in lists.items()}
    lists: Schema = {column: pl.List(pl.Int64 if name == "times" else pl.String) for column, name in named.items()}
    lists.setdefault("user_click_categories_30d", pl.List(pl.String))
    distinct: Schema = {f"user_click_distinct_{what}_30d": pl.Int64 for what in ("items", *(("categories",) if profile.category else ()))}
    return {"user_id": pl.String, **_features("user", profile), **distinct, **lists}


def _item_features(profile: Profile) -> Schema:
    return {"item_id": pl.String, **_features("item", profile)}


def _user_category_features(profile: Profile) -> Schema:
    return {"user_id": pl.String, "category": pl.String, **_features("user_category", profile)}


def _days_of(entity: str, key: tuple[str, ...]) -> Callable[[Profile], Schema]:
    return lambda profile: {**dict.fromkeys(key, pl.String), **_contributions(entity, profile)}


def _quarantine(_: Profile) -> Schema:
    return {"file": pl.String, "row": pl.Int64, "reason": pl.String, "raw": pl.String}


def _predictions(_: Profile) -> Schema:
    probabilities: Schema = dict.fromkeys(("pctr", "pcvr", "pctcvr"), pl.Float64)
    return {"impression_id": pl.String, "model_version": pl.String, "role": pl.String, **probabilities}


def check_fields(profile: Profile) -> None:
    """Raise ValueError where a field of the model reads a column that is unknown, of the wrong type, or tells the outcome."""
    exposure: Schema = {"user_id": pl.String, "item_id": pl.String, "position": pl.Int32}
    pairs = _user_category_features(profile) if profile.category else {}
    readable: Schema = {**pairs, **exposure, **context_schema(profile), **_user_features(profile), **_item_features(profile)}
    for stamp in {"event_timestamp", "category"} - profile.context.keys():
        readable.pop(stamp, None)
    for field in profile.fields:
        if field.kind == "cross":
            continue  # reads what its parts read
        if field.source not in readable:
            raise ValueError(f"field {field.name} reads column {field.source!r}: expected one of {', '.join(readable)}")
        dtype = readable[field.source]
        listed = dtype == pl.String if field.separator else dtype == pl.List
        fits = {"list": listed, "number": dtype in (*NUMBERS, pl.Boolean), "id": dtype != pl.List}
        if not fits[field.kind]:
            raise ValueError(f"field {field.name}: expected a column that a {field.kind} can be read from, found {field.source} of {dtype}")


IMPRESSIONS = _event_table("impressions")
CLICKS = _event_table("clicks")
ACTIONS = _event_table("actions")
PURCHASES = _event_table("purchases")
EVENTS: Mapping[Kind, Table] = {"impressions": IMPRESSIONS, "clicks": CLICKS, "actions": ACTIONS, "purchases": PURCHASES}
QUARANTINE = Table("quarantine", ("kind", "file", "row"), ("arrived_on", "kind"), _quarantine)
SAMPLES = Table("samples", ("impression_id",), ("day",), _samples)
OUTCOMES = Table("outcomes", ("impression_id", "outcome"), ("day",), _outcomes)
USER_FEATURES = Table("user_features", ("user_id",), ("day",), _user_features)
ITEM_FEATURES = Table("item_features", ("item_id",), ("day",), _item_features)
USER_CATEGORY_FEATURES = Table("user_category_features", ("user_id", "category"), ("day",), _user_category_features)
USER_DAYS = Table("user_days", ("user_id",), ("day",), _days_of("user", ("user_id",)))
ITEM_DAYS = Table("item_days", ("item_id",), ("day",), _days_of("item", ("item_id",)))
USER_CATEGORY_DAYS = Table("user_category_days", ("user_id", "category"), ("day",), _days_of("user_category", ("user_id", "category")))
PREDICTIONS = Table("predictions", ("impression_id", "role"), ("day",), _predictions)
FEATURES = (USER_FEATURES, ITEM_FEATURES, USER_CATEGORY_FEATURES)
DAYS = (USER_DAYS, ITEM_DAYS, USER_CATEGORY_DAYS)
CONTEXTUAL = (IMPRESSIONS, SAMPLES, OUTCOMES)
"""Tables with the impressions' context columns, which come and go with the profile: a day that lacks one has null."""
TABLES = (*EVENTS.values(), QUARANTINE, SAMPLES, OUTCOMES, *FEATURES, *DAYS, PREDICTIONS)
