"""Who gets the credit: literal tables on both sides of every boundary, and for every tie."""

from datetime import date, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest

from components.profile import Profile
from components.settings import Labels
from components.tables import INSTANT, SAMPLES, Schema
from tests.label import logs as made
from tests.label.logs import DAY, END, at, event, frame, impression, purchase

WINDOWS = Labels(click_window=timedelta(seconds=1800), conversion_window=timedelta(seconds=7200))
MICRO = 1e-6
EMPTY: Schema = {"impression_id": pl.String, "clicked": pl.Boolean, "clicked_at": INSTANT, "converted": pl.Boolean, "converted_at": INSTANT}
NEXT, LATER = date(2024, 5, 2), date(2024, 5, 3)


def label(
    impressions: list[Any],
    clicks: list[Any],
    purchases: list[Any] | None = None,
    actions: list[Any] | None = None,
    through: datetime = END,
) -> pl.DataFrame:
    logs = {"impressions": impressions, "clicks": clicks, "actions": actions or [], "purchases": purchases or []}
    slices = made.label({kind: frame(kind, rows) for kind, rows in logs.items()}, WINDOWS, through=through)
    return pl.concat(slices) if slices else pl.DataFrame(schema=EMPTY)


def clicked(samples: pl.DataFrame) -> dict[str, datetime]:
    return dict(samples.filter("clicked").select("impression_id", "clicked_at").iter_rows())


def converted(samples: pl.DataFrame) -> dict[str, datetime]:
    return dict(samples.filter("converted").select("impression_id", "converted_at").iter_rows())


@pytest.mark.parametrize("names", ["a", None], ids=["by impression_id", "by user and item"])
@pytest.mark.parametrize(("delay", "credited"), [(-MICRO, False), (0, True), (1800, True), (1800 + MICRO, False)])
def test_click_counts_from_exposure_to_the_end_of_the_window(names: str | None, delay: float, credited: bool) -> None:
    samples = label([impression("a", 100)], [event("c", 100 + delay, of=names)])
    assert clicked(samples) == ({"a": at(100 + delay)} if credited else {})


@pytest.mark.parametrize("names", ["a", None], ids=["by impression_id", "by user and item"])
@pytest.mark.parametrize(("delay", "credited"), [(-MICRO, False), (0, True), (7200, True), (7200 + MICRO, False)])
def test_purchase_counts_from_click_to_the_end_of_the_window(names: str | None, delay: float, credited: bool) -> None:
    shown, click = [impression("a", 100)], [event("c", 200)]
    samples = label(shown, click, [purchase("p", 200 + delay, of=names)], [event("w", 200 + delay, of=names)])
    assert converted(samples) == ({"a": at(200 + delay)} if credited else {})
    assert samples.select("acted", "acted_at").row(0) == (credited, at(200 + delay) if credited else None)


def test_purchase_window_counts_from_the_click_and_not_from_the_exposure() -> None:
    samples = label([impression("a", 0)], [event("c", 1800)], [purchase("p", 1800 + 7200)])
    assert converted(samples) == {"a": at(9000)}


def test_named_impression_gets_the_click_whoever_clicked() -> None:
    shown = [impression("a", 100), impression("b", 200)]
    assert clicked(label(shown, [event("c", 300, of="a", user=None, item="other")])) == {"a": at(300)}


@pytest.mark.parametrize("names", ["absent", "old"], ids=["absent", "out of its window"])
def test_click_that_names_an_impression_falls_back_to_no_other(names: str) -> None:
    shown = [impression("old", 0), impression("a", 5000)]
    assert clicked(label(shown, [event("c", 5010, of=names)])) == {}


def test_click_without_name_goes_to_the_latest_earlier_impression() -> None:
    shown = [impression("a", 100), impression("b", 200), impression("c", 300), impression("z", 200, item="other")]
    assert clicked(label(shown, [event("1", 250)])) == {"b": at(250)}


def test_click_at_the_time_of_two_exposures_goes_to_the_larger_impression_id() -> None:
    shown = [impression("b", 100), impression("c", 100), impression("a", 100)]
    assert clicked(label(shown, [event("1", 100)])) == {"c": at(100)}


@pytest.mark.parametrize(("shown_to", "clicked_by"), [(None, None), (None, "u"), ("u", None), ("u", "v")])
def test_null_or_other_user_never_matches(shown_to: str | None, clicked_by: str | None) -> None:
    samples = label([impression("a", 100, user=shown_to)], [event("1", 110, user=clicked_by)], [purchase("p", 120, user=shown_to)])
    assert (clicked(samples), converted(samples)) == ({}, {})


def test_null_user_buys_nothing_from_a_click_whose_impression_had_no_user() -> None:
    samples = label([impression("a", 100, user=None)], [event("1", 110, of="a")], [purchase("p", 120, user=None), purchase("q", 130)])
    assert (clicked(samples), converted(samples)) == ({"a": at(110)}, {})


def test_repeated_clicks_are_one_at_the_first_time() -> None:
    samples = label([impression("a", 100)], [event("2", 130), event("1", 120, of="a"), event(None, 140), event(None, 150)])
    assert clicked(samples) == {"a": at(120)}
    assert samples.height == 1


def test_purchase_window_starts_at_the_first_of_repeated_clicks() -> None:
    clicks = [event("1", 120), event("2", 1000)]
    assert converted(label([impression("a", 100)], clicks, [purchase("p", 120 + 7200 + 1)])) == {}


def test_purchase_goes_to_the_latest_click_of_the_same_user_and_item() -> None:
    shown = [impression("a", 100), impression("b", 200), impression("x", 210, item="other")]
    clicks = [event("1", 150, of="a"), event("2", 250, of="b"), event("3", 260, of="x", item="other")]
    assert converted(label(shown, clicks, [purchase("p", 300)])) == {"b": at(300)}


def test_purchase_before_every_click_earns_nothing() -> None:
    assert converted(label([impression("a", 100)], [event("1", 150)], [purchase("p", 149)])) == {}


def test_one_purchase_converts_one_click_and_the_first_of_several_gives_the_time() -> None:
    shown = [impression("a", 100), impression("b", 110)]
    clicks = [event("1", 150, of="a"), event("2", 160, of="b")]
    assert converted(label(shown, clicks, [purchase("q", 400), purchase("p", 300)])) == {"b": at(300)}


@pytest.mark.parametrize(
    "loose", [event("2", 2000), event("2", 2000, of="absent")], ids=["out of its window", "names an absent impression"]
)
def test_click_without_impression_takes_the_purchase_from_an_earlier_click(loose: tuple[Any, ...]) -> None:
    samples = label([impression("a", 100)], [event("1", 200), loose], [purchase("p", 2000), purchase("q", 1999)])
    assert converted(samples) == {"a": at(1999)}
    assert converted(label([impression("a", 100)], [event("1", 200), loose], [purchase("p", 2000)])) == {}


def test_of_clicks_at_one_time_the_credited_one_converts() -> None:
    clicks = [event("1", 200, of="a"), event("2", 200, of="absent")]
    assert converted(label([impression("a", 100)], clicks, [purchase("p", 300)])) == {"a": at(300)}


def test_of_credited_clicks_at_one_time_the_later_exposure_converts() -> None:
    shown = [impression("z", 100), impression("a", 150)]
    clicks = [event("1", 200, of="a"), event("2", 200, of="z")]
    assert converted(label(shown, clicks, [purchase("p", 300)])) == {"a": at(300)}


def test_of_credited_clicks_and_exposures_at_one_time_the_larger_impression_id_converts() -> None:
    shown = [impression("z", 100), impression("a", 100)]
    clicks = [event("1", 200, of="a"), event("2", 200, of="z")]
    assert converted(label(shown, clicks, [purchase("p", 300)])) == {"z": at(300)}


def test_purchase_that_names_an_impression_falls_back_to_no_other() -> None:
    shown = [impression("a", 100), impression("b", 200)]
    clicks = [event("1", 250, of="b")]
    assert converted(label(shown, clicks, [purchase("p", 300, of="a"), purchase("q", 300, of="absent")])) == {}
    assert converted(label(shown, clicks, [purchase("p", 300, of="b", user=None, item="other")])) == {"b": at(300)}


def test_purchase_finds_a_click_under_the_user_and_item_of_its_impression() -> None:
    clicks = [event("1", 150, of="a", user=None)]
    assert converted(label([impression("a", 100)], clicks, [purchase("p", 200)])) == {"a": at(200)}


def test_impression_exposed_after_the_day_competes_but_is_not_returned() -> None:
    shown = [impression("a", 86_000), impression("b", 86_400 + 60, arrived=NEXT)]
    clicks = [event("1", 86_400 + 100, arrived=NEXT), event("2", 86_400 + 50, arrived=NEXT)]
    samples = label(shown, clicks, through=at(3 * 86_400))
    assert clicked(samples) == {"a": at(86_450)}
    assert samples["impression_id"].to_list() == ["a"]


@pytest.mark.parametrize(("exposed", "returned"), [(-MICRO, False), (0, True), (86_400 - MICRO, True), (86_400, False)])
def test_only_impressions_exposed_on_the_day_are_returned(exposed: float, returned: bool) -> None:
    assert label([impression("a", exposed)], [], through=at(2 * 86_400)).height == returned


@pytest.mark.parametrize(
    ("arrived", "through", "counts"),
    [
        (DAY - timedelta(days=1), END, False),
        (DAY, END, True),
        (NEXT, END, False),
        (NEXT, at(2 * 86_400), True),
        (NEXT, at(2 * 86_400 - 1), False),
        (LATER, at(2 * 86_400), False),
    ],
)
def test_events_count_when_they_arrive_from_the_day_to_the_eve_of_the_cut_off(arrived: date, through: datetime, counts: bool) -> None:
    samples = label([impression("a", 100)], [event("c", 110, arrived=arrived)], through=through)
    assert clicked(samples) == ({"a": at(110)} if counts else {})
    assert label([impression("a", 100, arrived=arrived)], [], through=through).height == counts


@pytest.mark.parametrize(("happened", "counts"), [(86_400 - MICRO, True), (86_400, False)])
def test_events_count_when_they_happen_before_the_cut_off(happened: float, counts: bool) -> None:
    assert clicked(label([impression("a", 86_000)], [event("c", happened)])) == ({"a": at(happened)} if counts else {})


def test_of_a_repeated_key_the_earliest_arrival_stands_then_the_earliest_time() -> None:
    shown = [impression("a", 300), impression("a", 200), impression("a", 100, arrived=NEXT)]
    clicks = [event("c", 340), event("c", 330, arrived=NEXT), event(None, 350, of="a"), event(None, 345, of="a")]
    samples = label(shown, clicks, through=at(2 * 86_400))
    assert samples["exposed_at"].to_list() == [at(200)]
    assert clicked(samples) == {"a": at(340)}


def test_purchases_are_one_per_order() -> None:
    bought = [purchase("p", 300), purchase("p", 400, item="j", arrived=NEXT)]
    shown = [impression("a", 100), impression("b", 100, item="j")]
    clicks = [event("1", 200), event("2", 200, item="j")]
    assert converted(label(shown, clicks, bought, through=at(2 * 86_400))) == {"a": at(300)}


def test_columns_are_those_of_the_table_with_context_and_both_bounds() -> None:
    sample = label([impression("a", 100)], [event("c", 110)], [purchase("p", 120)]).row(0, named=True)
    assert sample == {
        "impression_id": "a",
        "user_id": "u",
        "item_id": "i",
        "exposed_at": at(100),
        "position": 1,
        "clicked": True,
        "clicked_at": at(110),
        "acted": False,
        "acted_at": None,
        "converted": True,
        "converted_at": at(120),
        "labelled_through": END,
        "matures_at": at(100 + 1800 + 7200),
        "scene": "home",
    }


def test_day_without_impressions_has_no_slice() -> None:
    logs = {"impressions": [], "clicks": [event("c", 110)], "actions": [], "purchases": [purchase("p", 120)]}
    assert made.label({kind: frame(kind, rows) for kind, rows in logs.items()}, WINDOWS) == []


def test_schema_holds_without_users(profile: Profile) -> None:
    samples = label([impression("a", 100, user=None)], [])
    assert dict(samples.schema) == {name: dtype for name, dtype in SAMPLES.schema(profile).items() if name != "day"}
    assert samples.select(pl.col("clicked", "acted", "converted").any()).row(0) == (False, False, False)


@pytest.fixture
def profile() -> Profile:
    columns = {"item_id": "item_id", "impression_id": "impression_id"}
    source = {"columns": {**columns, "exposed_at": "t"}, "context": {"scene": "string"}}
    clicks = {"columns": {**columns, "clicked_at": "t"}}
    purchases = {"columns": {"item_id": "item_id", "order_id": "o", "purchased_at": "t"}}
    return Profile.model_validate({"name": "tiny", "impressions": source, "clicks": clicks, "purchases": purchases, "fields": []})


def test_cut_off_may_be_given_in_any_zone() -> None:
    shifted = END.astimezone(timezone(timedelta(hours=5)))
    assert label([impression("a", 100)], [event("c", 110)], through=shifted).equals(label([impression("a", 100)], [event("c", 110)]))


@pytest.mark.parametrize("through", [END - timedelta(microseconds=1), END.replace(tzinfo=None)], ids=["early", "naive"])
def test_cut_off_before_the_end_of_the_day_or_without_zone_is_refused(through: datetime) -> None:
    with pytest.raises(ValueError, match="labelled_through: expected an aware time at or after the day's end 2024-05-02"):
        label([impression("a", 100)], [], through=through)
