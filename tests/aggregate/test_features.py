"""Features of a day: against plain loops on drawn samples, and literally at each boundary."""

from datetime import date, timedelta

import polars as pl
import pytest

from components.aggregate.features import item_features, user_features
from components.profile import Profile
from components.settings import Aggregate
from components.tables import ITEM_FEATURES, USER_FEATURES
from tests.aggregate.reference import features
from tests.aggregate.rows import DAY, draw, frame, midnight, sample, serialise

OPTIONS = Aggregate()
END = midnight(DAY + timedelta(days=1))
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
PROFILE = Profile.model_construct()


def days_ago(days: int) -> date:
    return DAY - timedelta(days=days)


def users_of(rows: list[dict[str, object]], category: str = "cat_id", options: Aggregate = OPTIONS) -> pl.DataFrame:
    return user_features(frame(rows), day=DAY, options=options, category=category).collect()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("options", [Aggregate(), Aggregate(history_days=8, list_length=3, prior_impressions=2.5, prior_clicks=0.5)])
def test_features_equal_the_plain_rules(seed: int, options: Aggregate) -> None:
    rows = draw(seed, 60)
    users = user_features(frame(rows), day=DAY, options=options, category="cat_id").collect()
    items = item_features(frame(rows), day=DAY, options=options).collect()
    assert users.to_dicts() == features(rows, "user", day=DAY, options=options, category="cat_id")
    assert items.to_dicts() == features(rows, "item", day=DAY, options=options)


@pytest.mark.parametrize(
    ("days", "one", "seven", "rows"), [(0, 1, 1, 1), (1, 0, 1, 1), (6, 0, 1, 1), (7, 0, 0, 1), (29, 0, 0, 1), (30, 0, 0, 0), (-1, 0, 0, 0)]
)
def test_counts_look_back_one_seven_and_thirty_days(days: int, one: int, seven: int, rows: int) -> None:
    only = sample("a", midnight(days_ago(days)), clicked=SECOND, acted=2 * SECOND, converted=3 * SECOND)
    tables = {"user": users_of([only]), "item": item_features(frame([only]), day=DAY, options=OPTIONS).collect()}
    for entity, found in tables.items():
        assert found.height == rows
        for event in ("impression", "click", "action", "conversion"):
            counts = found.select(f"{entity}_{event}_count_1d", f"{entity}_{event}_count_7d").rows()
            assert counts == [(one, seven)] * rows


def test_rates_are_smoothed_towards_the_overall_rate_of_seven_days() -> None:
    rows = [
        sample("a", midnight(DAY), "u", clicked=SECOND, converted=SECOND),
        sample("b", midnight(DAY), "u"),
        sample("c", midnight(DAY), None, clicked=SECOND),
        sample("d", midnight(DAY), "v"),
        sample("old", midnight(days_ago(7)), "u", clicked=SECOND),
    ]
    found = users_of(rows, options=Aggregate(prior_impressions=4, prior_clicks=2)).row(0, named=True)
    assert found["user_click_rate_7d"] == pytest.approx((1 + 4 * 2 / 4) / (2 + 4))
    assert found["user_conversion_rate_7d"] == pytest.approx((1 + 2 * 1 / 2) / (1 + 2))


def test_rates_are_zero_where_seven_days_hold_nothing() -> None:
    found = users_of([sample("old", midnight(days_ago(9)), clicked=SECOND, converted=SECOND)]).row(0, named=True)
    assert (found["user_click_rate_7d"], found["user_conversion_rate_7d"]) == (0.0, 0.0)


def test_ages_are_whole_seconds_from_the_last_event_to_the_end_of_the_day() -> None:
    rows = [sample("a", midnight(days_ago(2)), clicked=SECOND), sample("b", END - timedelta(microseconds=1_500_000))]
    found = users_of(rows).row(0, named=True)
    assert (found["user_impression_age_s_30d"], found["user_click_age_s_30d"]) == (1, 3 * 86_400 - 1)
    assert users_of(rows[1:])["user_click_age_s_30d"].to_list() == [None]


def test_lists_hold_the_last_clicks_most_recent_first_and_drop_null_categories() -> None:
    rows = [
        sample("a", midnight(DAY), item="old", category=9, clicked=SECOND),
        sample("b", midnight(DAY), item="i", category=1, clicked=HOUR),
        sample("c", midnight(DAY) + HOUR, item="j", category=None, clicked=timedelta(0)),
        sample("d", midnight(DAY), item="k", category=3, clicked=2 * HOUR),
        sample("e", midnight(DAY) + 3 * HOUR, item="never"),
        sample("f", midnight(DAY), "v", item="i"),
    ]
    found = users_of(rows, options=Aggregate(list_length=3)).rows(named=True)
    assert [(row["user_click_items_30d"], row["user_click_categories_30d"]) for row in found] == [(["k", "j", "i"], ["3", "1"]), ([], [])]


def test_category_lists_are_empty_where_the_set_has_none() -> None:
    found = users_of([sample("a", midnight(DAY), category=1, clicked=SECOND)], category="").row(0, named=True)
    assert (found["user_click_items_30d"], found["user_click_categories_30d"]) == (["i"], [])


@pytest.mark.parametrize(("clicked_at", "counted"), [(END - timedelta(microseconds=1), 1), (END, 0)])
def test_events_at_the_end_of_the_day_or_later_are_not_known_yet(clicked_at: object, counted: int) -> None:
    late = sample("a", midnight(DAY)) | {"clicked": True, "clicked_at": clicked_at}
    found = users_of([late]).row(0, named=True)
    assert found["user_click_count_1d"] == counted
    assert found["user_click_items_30d"] == ["i"] * counted


@pytest.mark.parametrize("rows", [[], [sample("a", midnight(DAY), None)]], ids=["no samples", "no users"])
def test_users_are_none_and_the_schema_holds_without_samples_or_users(rows: list[dict[str, object]]) -> None:
    users, items = users_of(rows), item_features(frame(rows), day=DAY, options=OPTIONS).collect()
    assert (users.height, items.height) == (0, len(rows))
    assert {**users.schema, "day": pl.Date} == USER_FEATURES.schema(PROFILE)
    assert {**items.schema, "day": pl.Date} == ITEM_FEATURES.schema(PROFILE)


def test_order_of_samples_moves_no_byte() -> None:
    rows = draw(3, 400)
    shuffled = frame(rows).collect().sample(fraction=1, shuffle=True, seed=5).lazy()
    for samples in (frame(rows), shuffled):
        users = user_features(samples, day=DAY, options=OPTIONS, category="cat_id")
        assert serialise(users) == serialise(user_features(frame(rows), day=DAY, options=OPTIONS, category="cat_id"))
        assert serialise(item_features(samples, day=DAY, options=OPTIONS)) == serialise(
            item_features(frame(rows), day=DAY, options=OPTIONS)
        )
