"""Features of a day: against plain loops on drawn days, and literally at each boundary."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from components.profile import Profile
from components.tables import FEATURES
from tests.aggregate.reference import Reference
from tests.aggregate.rows import BARE, DAY, FULL, ONE, ROLES, Row, World, draw, impression, midnight, outcome, profile

END = midnight(DAY + ONE)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
CATEGORY_ONLY = profile(category=ROLES["category"])


def features(home: Path, shown: list[Row], outcomes: list[Row], declared: Profile = FULL, **options: Any) -> dict[str, list[Row]]:
    """Return the features of DAY made of the days that the rows are of."""
    world = World(home, shown, outcomes, declared, **options)
    for day in sorted({DAY, *(row["day"] for row in (*shown, *outcomes))}):
        world.learn(day)
    world.aggregate(DAY)
    return world.rows(DAY)


_FEW = {"list_length": 3, "prior_impressions": 2.5, "prior_clicks": 0.5}


@pytest.mark.parametrize(("declared", "options"), [(FULL, {}), (CATEGORY_ONLY, _FEW), (BARE, _FEW)], ids=["full", "category", "bare"])
def test_features_equal_the_plain_rules(tmp_path: Path, declared: Profile, options: dict[str, Any]) -> None:
    shown, outcomes = draw(1, 600, first=DAY - 34 * ONE, days=37, users=8)
    found = features(tmp_path, shown, outcomes, declared, **options)
    aggregate = World(tmp_path, [], [], **options).settings.aggregate
    expected = Reference(shown, outcomes, day=DAY, options=aggregate, profile=declared).tables()
    for table in FEATURES:
        columns = list(table.columns(declared))
        assert found[table.name] == [{name: row[name] for name in columns} for row in expected[table.name]], table.name
        assert all(set(row) == set(columns) for row in expected[table.name])
    assert len(found["user_features"]) == 8


@pytest.mark.parametrize(
    ("days", "one", "seven", "thirty"), [(0, 1, 1, 1), (1, 0, 1, 1), (6, 0, 1, 1), (7, 0, 0, 1), (29, 0, 0, 1), (30, 0, 0, 0)]
)
def test_counts_look_back_one_seven_and_thirty_days(tmp_path: Path, days: int, one: int, seven: int, thirty: int) -> None:
    shown = impression("a", midnight(DAY - days * ONE))
    outcomes = [outcome(shown, kind, SECOND) for kind in ("click", "action", "conversion")]
    found = features(tmp_path, [shown], outcomes)
    for entity in ("user", "item"):
        for event in ("impression", "click", "action", "conversion"):
            counts = [tuple(row[f"{entity}_{event}_count_{width}d"] for width in (1, 7, 30)) for row in found[f"{entity}_features"]]
            assert counts == [(one, seven, thirty)] * thirty


def test_an_outcome_counts_on_the_day_it_became_known(tmp_path: Path) -> None:
    shown = impression("a", midnight(DAY - 8 * ONE))
    late = [outcome(shown, "click", HOUR, known_on=DAY), outcome(shown, "conversion", 8 * ONE + HOUR)]
    found = features(tmp_path, [shown], late)["user_features"][0]
    assert [found[f"user_{event}_count_1d"] for event in ("impression", "click", "conversion")] == [0, 1, 1]
    assert (found["user_impression_count_7d"], found["user_click_age_s_30d"]) == (0, 9 * 86_400 - 3600)


def test_rates_are_smoothed_towards_the_overall_rate_of_their_window(tmp_path: Path) -> None:
    shown = [impression("a", midnight(DAY)), impression("b", midnight(DAY)), impression("c", midnight(DAY), None)]
    shown += [impression("d", midnight(DAY), "v"), impression("old", midnight(DAY - 7 * ONE))]
    outcomes = [outcome(shown[number], "click", SECOND) for number in (0, 2, 4)] + [outcome(shown[0], "conversion", SECOND)]
    found = features(tmp_path, shown, outcomes, prior_impressions=4, prior_clicks=2)["user_features"][0]
    assert found["user_click_rate_7d"] == pytest.approx((1 + 4 * 2 / 4) / (2 + 4))
    assert found["user_click_rate_30d"] == pytest.approx((2 + 4 * 3 / 5) / (3 + 4))
    assert found["user_conversion_rate_7d"] == pytest.approx((1 + 2 * 1 / 2) / (1 + 2))


def test_rates_are_zero_where_a_window_holds_nothing(tmp_path: Path) -> None:
    old = impression("old", midnight(DAY - 9 * ONE))
    found = features(tmp_path, [old], [outcome(old, "click", SECOND)])["user_features"][0]
    assert (found["user_click_rate_7d"], found["user_conversion_rate_7d"], found["user_conversion_rate_30d"]) == (0.0, 0.0, 0.0)


def test_a_rate_is_at_most_one_where_conversions_of_earlier_clicks_became_known(tmp_path: Path) -> None:
    shown = [impression(str(number), midnight(DAY - 5 * ONE)) for number in range(9)]
    outcomes = [outcome(row, "click", SECOND) for row in shown] + [outcome(row, "conversion", 5 * ONE) for row in shown]
    found = features(tmp_path, shown, outcomes, prior_clicks=1)["user_features"][0]
    assert (found["user_conversion_rate_1d"], found["user_click_count_1d"], found["user_conversion_count_1d"]) == (1.0, 0, 9)


@pytest.mark.parametrize(
    ("before_the_end", "age"),
    [(timedelta(microseconds=1), 1), (timedelta(seconds=1), 1), (timedelta(microseconds=1_000_001), 2), (30 * ONE, 2_592_000)],
)
def test_ages_are_seconds_to_the_end_of_the_day_a_begun_one_counted_whole(tmp_path: Path, before_the_end: timedelta, age: int) -> None:
    found = features(tmp_path, [impression("a", END - before_the_end)], [])
    assert (found["user_features"][0]["user_impression_age_s_30d"], found["item_features"][0]["item_impression_age_s_30d"]) == (age, age)
    assert found["user_features"][0]["user_click_age_s_30d"] is None


def test_lists_are_aligned_most_recent_first_and_end_at_their_length(tmp_path: Path) -> None:
    shown = [
        impression("a", midnight(DAY), item="old", cat_id=9),
        impression("b", midnight(DAY), item="i", cat_id=1, shop_id="s"),
        impression("c", midnight(DAY) + HOUR, item="j", brand_id="b"),
        impression("d", midnight(DAY), item="k", cat_id=3),
        impression("e", midnight(DAY) + 3 * HOUR, item="never"),
    ]
    delays = [SECOND, HOUR, timedelta(0), 2 * HOUR]
    outcomes = [outcome(row, "click", delay) for row, delay in zip(shown, delays, strict=False)] + [
        outcome(shown[1], "conversion", 3 * HOUR)
    ]
    row = features(tmp_path, shown, outcomes, list_length=3)["user_features"][0]
    assert row["user_click_items_30d"] == ["k", "j", "i"]
    assert row["user_click_categories_30d"] == ["3", "", "1"]
    assert (row["user_click_shops_30d"], row["user_click_brands_30d"]) == (["", "", "s"], ["", "b", ""])
    hours = [(instant - round(midnight(DAY).timestamp() * 1e6)) / 3.6e9 for instant in row["user_click_times_30d"]]
    assert hours == [2, 1, 1]
    assert row["user_behaviour_items_30d"] == ["i", "k", "j"]
    assert row["user_behaviour_kinds_30d"] == ["conversion", "click", "click"]
    assert (row["user_conversion_items_30d"], row["user_action_items_30d"]) == (["i"], [])


def test_prices_are_averaged_exactly_and_what_is_no_price_is_left_out(tmp_path: Path) -> None:
    prices = [0.1, 0.2, None, float("nan"), float("inf"), 1e9]
    shown = [impression(str(number), midnight(DAY), price=price) for number, price in enumerate(prices)]
    found = features(tmp_path, shown, [outcome(row, "click", SECOND) for row in shown[1:3]])
    item, user = found["item_features"][0], found["user_features"][0]
    assert (item["item_price_count_30d"], item["item_price_cents_30d"], item["item_price_mean_30d"]) == (2, 30, 0.15)
    assert (user["user_click_price_mean_30d"], user["user_conversion_price_mean_30d"]) == (0.2, None)


@pytest.mark.parametrize(("before_the_end", "counted"), [(timedelta(microseconds=1), 1), (timedelta(0), 0)])
def test_outcomes_at_the_end_of_the_day_or_later_are_not_known_yet(tmp_path: Path, before_the_end: timedelta, counted: int) -> None:
    shown = impression("a", midnight(DAY))
    late = outcome(shown, "click", ONE - before_the_end, known_on=DAY)
    found = features(tmp_path, [shown], [late])["user_features"][0]
    assert (found["user_click_count_1d"], found["user_click_items_30d"]) == (counted, ["i"] * counted)


def test_a_pair_stays_while_any_of_its_outcomes_is_in_the_window(tmp_path: Path) -> None:
    shown = impression("a", midnight(DAY - 31 * ONE), cat_id=7)
    outcomes = [outcome(shown, "click", HOUR), outcome(shown, "conversion", 2 * ONE)]
    (pair,) = features(tmp_path, [shown], outcomes)["user_category_features"]
    assert (pair["user_id"], pair["category"]) == ("u", "7")
    assert (pair["user_category_click_count_30d"], pair["user_category_conversion_count_30d"]) == (0, 1)


@pytest.mark.parametrize("shown", [[], [impression("a", midnight(DAY), None)]], ids=["no samples", "no users"])
def test_days_without_samples_or_users_have_no_such_rows(tmp_path: Path, shown: list[Row]) -> None:
    found = features(tmp_path, shown, [])
    assert {name: len(rows) for name, rows in found.items()} == {
        "user_features": 0,
        "item_features": len(shown),
        "user_category_features": 0,
    }
