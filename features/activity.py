"""What users and items did lately: one row per key and day, as of the end of that day (declarations only).

Columns are those of the lake's tables, of every data set. `components.publish` applies this file less what a data set does not have (a
category, a shop, a brand, a price); `feast apply` in this folder applies all of it.
"""

import os
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Array, Float64, Int64, String

OFFLINE = os.path.join(os.environ.get("ESMM_HOME", ".esmm"), "offline")  # noqa: PTH118 - may be a URI
# A snapshot serves the day after it, [event_timestamp, event_timestamp + 1 day): an absent key must not fall back to an older one.
ONE_DAY = timedelta(days=1, microseconds=-1)

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING, description="A person, as the raw logs name them.")
category = Entity(name="category", join_keys=["category"], value_type=ValueType.STRING, description="A category, as the raw logs name it.")
item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING, description="A thing shown, as the raw logs name it.")


def source(name: str) -> FileSource:
    """Return the snapshots of one view."""
    return FileSource(name=name, path=f"{OFFLINE}/{name}", timestamp_field="event_timestamp", file_format=ParquetFormat())


def activity(entity: str) -> list[Field]:
    """Return counts and smoothed rates over 1, 7 and 30 days, and seconds since the last event of 30 days."""
    events, windows = ("impression", "click", "action", "conversion"), ("1d", "7d", "30d")
    counts = [Field(name=f"{entity}_{event}_count_{window}", dtype=Int64) for event in events for window in windows]
    rates = [Field(name=f"{entity}_{rate}_rate_{window}", dtype=Float64) for rate in ("click", "conversion") for window in windows]
    return [*counts, *rates, *(Field(name=f"{entity}_{event}_age_s_30d", dtype=Int64) for event in events)]


def prices(name: str) -> list[Field]:
    """Return the number of prices of 30 days, their sum in hundredths, and their mean."""
    sums = [Field(name=f"{name}_{what}_30d", dtype=Int64) for what in ("count", "cents")]
    return [*sums, Field(name=f"{name}_mean_30d", dtype=Float64)]


def listed(kind: str, *more: str) -> list[Field]:
    """Return aligned lists, the most recent first: items and their attributes, and times in microseconds since 1970 UTC."""
    texts = [Field(name=f"user_{kind}_{what}_30d", dtype=Array(String)) for what in ("items", "categories", "shops", "brands", *more)]
    return [*texts, Field(name=f"user_{kind}_times_30d", dtype=Array(Int64))]


user_activity = FeatureView(
    name="user_activity",
    entities=[user],
    ttl=ONE_DAY,
    source=source("user_activity"),
    description="A user's counts, smoothed rates, recency, prices and last behaviours, as of the end of a day.",
    schema=[
        *activity("user"),
        *prices("user_click_price"),
        *prices("user_conversion_price"),
        Field(name="user_click_distinct_items_30d", dtype=Int64),
        Field(name="user_click_distinct_categories_30d", dtype=Int64),
        *listed("click"),
        *listed("action"),
        *listed("conversion"),
        *listed("behaviour", "kinds"),
    ],
)
item_activity = FeatureView(
    name="item_activity",
    entities=[item],
    ttl=ONE_DAY,
    source=source("item_activity"),
    description="An item's counts, smoothed rates, recency and price, as of the end of a day.",
    schema=[
        *activity("item"),
        Field(name="item_click_user_days_1d", dtype=Int64),
        Field(name="item_click_user_days_30d", dtype=Int64),
        *prices("item_price"),
    ],
)
user_category_activity = FeatureView(
    name="user_category_activity",
    entities=[user, category],
    ttl=ONE_DAY,
    source=source("user_category_activity"),
    description="What a user did with the items of a category, as of the end of a day.",
    schema=[
        Field(name=f"user_category_{outcome}_count_{window}", dtype=Int64)
        for outcome in ("click", "action", "conversion")
        for window in ("7d", "30d")
    ],
)

ranking = FeatureService(
    name="ranking",
    features=[user_activity, item_activity],
    description="What the ranking model reads of the user and of the item.",
)
