"""What users and items did lately: one row per key and day, as of the end of that day (declarations only).

`components.publish` applies this file; `feast apply` in this folder does the same. Columns are those of the lake's tables.
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
item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING, description="A thing shown, as the raw logs name it.")

user_source = FileSource(
    name="user_activity",
    path=f"{OFFLINE}/user_activity",
    timestamp_field="event_timestamp",
    file_format=ParquetFormat(),
)
item_source = FileSource(
    name="item_activity",
    path=f"{OFFLINE}/item_activity",
    timestamp_field="event_timestamp",
    file_format=ParquetFormat(),
)

user_activity = FeatureView(
    name="user_activity",
    entities=[user],
    ttl=ONE_DAY,
    source=user_source,
    description="A user's counts, smoothed rates, recency and last clicks, as of the end of a day.",
    schema=[
        Field(name="user_impression_count_1d", dtype=Int64),
        Field(name="user_impression_count_7d", dtype=Int64),
        Field(name="user_click_count_1d", dtype=Int64),
        Field(name="user_click_count_7d", dtype=Int64),
        Field(name="user_action_count_1d", dtype=Int64),
        Field(name="user_action_count_7d", dtype=Int64),
        Field(name="user_conversion_count_1d", dtype=Int64),
        Field(name="user_conversion_count_7d", dtype=Int64),
        Field(name="user_click_rate_7d", dtype=Float64),
        Field(name="user_conversion_rate_7d", dtype=Float64),
        Field(name="user_impression_age_s_30d", dtype=Int64),
        Field(name="user_click_age_s_30d", dtype=Int64),
        Field(name="user_click_items_30d", dtype=Array(String)),
        Field(name="user_click_categories_30d", dtype=Array(String)),
    ],
)
item_activity = FeatureView(
    name="item_activity",
    entities=[item],
    ttl=ONE_DAY,
    source=item_source,
    description="An item's counts, smoothed rates and recency, as of the end of a day.",
    schema=[
        Field(name="item_impression_count_1d", dtype=Int64),
        Field(name="item_impression_count_7d", dtype=Int64),
        Field(name="item_click_count_1d", dtype=Int64),
        Field(name="item_click_count_7d", dtype=Int64),
        Field(name="item_action_count_1d", dtype=Int64),
        Field(name="item_action_count_7d", dtype=Int64),
        Field(name="item_conversion_count_1d", dtype=Int64),
        Field(name="item_conversion_count_7d", dtype=Int64),
        Field(name="item_click_rate_7d", dtype=Float64),
        Field(name="item_conversion_rate_7d", dtype=Float64),
        Field(name="item_impression_age_s_30d", dtype=Int64),
        Field(name="item_click_age_s_30d", dtype=Int64),
    ],
)

ranking = FeatureService(name="ranking", features=[user_activity, item_activity], description="What the ranking model reads.")
