"""What the online store holds after publishes in any order, cut short, overlapping or of shrinking snapshots."""

import threading
import time
from collections.abc import Callable
from datetime import date
from itertools import permutations
from typing import Any

import polars as pl
import pytest

from components.publish import store as feast_store
from components.publish.lookup import Lookup, lookup
from components.publish.offline import snapshot_path
from components.publish.online import Published
from components.publish.views import ITEMS, USERS, NotPublishedError, UnknownEntityError, UnknownFeatureError
from components.publish.watermark import Watermark, exclusive, read_watermark
from components.settings import Settings

Publish = Callable[..., Published]
ONE, TWO, THREE = date(2024, 5, 1), date(2024, 5, 2), date(2024, 5, 3)
# ann is in every snapshot, bob leaves, cat comes and leaves, dan comes
SNAPSHOTS = {ONE: {"ann": 1, "bob": 1}, TWO: {"ann": 2, "cat": 2}, THREE: {"ann": 3, "dan": 3}}
EVERYONE = ["ann", "bob", "cat", "dan"]


def clicks(settings: Settings, keys: list[str] = EVERYONE) -> dict[str, tuple[str, int]]:
    """Return key -> (day, clicks) of the users that are found."""
    answers = lookup("user", keys, settings, features=["user_click_count_1d"])
    return {answer["key"]: (answer["day"], answer["features"]["user_click_count_1d"]) for answer in answers if answer["found"]}


class CutShortError(Exception):
    """Stands for the death of the publishing process."""


@pytest.fixture
def die_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], pytest.MonkeyPatch]:
    """Make the online store's writes fail after a number of chunks; undo() mends it."""
    from components.publish.rows import EmbeddedWriter

    write = EmbeddedWriter.online_write_batch

    def arm(chunks: int) -> pytest.MonkeyPatch:
        left = iter(range(chunks))

        def failing(self: Any, *args: Any, **kwargs: Any) -> None:
            if next(left, None) is None:
                raise CutShortError
            write(self, *args, **kwargs)

        monkeypatch.setattr(EmbeddedWriter, "online_write_batch", failing)
        return monkeypatch

    return arm


@pytest.mark.parametrize("order", list(permutations(SNAPSHOTS)))
def test_the_newest_day_stands_whatever_the_order(publish: Publish, settings: Settings, order: tuple[date, ...]) -> None:
    outcomes = {day: publish(day, SNAPSHOTS[day]).online for day in order}
    assert clicks(settings) == {"ann": ("2024-05-03", 3), "dan": ("2024-05-03", 3)}
    assert read_watermark(settings.root) == Watermark(day=THREE)
    assert outcomes == {day: day == max(order[: order.index(day) + 1]) for day in order}
    assert all(snapshot_path(settings.root, view, day).exists() for view in (USERS, ITEMS) for day in SNAPSHOTS)


def test_a_skipped_publish_says_why(publish: Publish) -> None:
    publish(TWO, {"ann": 2})
    skipped = publish(ONE, {"ann": 1, "bob": 1})
    assert (skipped.online, skipped.online_rows, skipped.offline_rows) == (
        False,
        {},
        {"user_activity": 2, "item_activity": 0, "user_category_activity": 0},
    )
    assert skipped.reason == "online holds 2024-05-02, which is newer than 2024-05-01"


def test_a_rerun_of_the_online_day_replaces_it(publish: Publish, settings: Settings) -> None:
    publish(ONE, {"ann": 1, "bob": 1})
    publish(ONE, {"ann": 5})
    assert clicks(settings) == {"ann": ("2024-05-01", 5)}


def test_keys_that_left_stop_answering_and_may_come_back(publish: Publish, settings: Settings) -> None:
    publish(ONE, {"ann": 1, "bob": 1, "cat": 1})
    assert publish(TWO, {"ann": 2}).emptied_rows == {"user_activity": 2, "item_activity": 0, "user_category_activity": 0}
    assert clicks(settings) == {"ann": ("2024-05-02", 2)}
    assert publish(THREE, {"bob": 3}).emptied_rows == {"user_activity": 1, "item_activity": 0, "user_category_activity": 0}
    assert clicks(settings) == {"bob": ("2024-05-03", 3)}


def test_an_empty_snapshot_empties_the_store(publish: Publish, settings: Settings) -> None:
    publish(ONE, {"ann": 1})
    assert publish(TWO, {}).emptied_rows["user_activity"] == 1
    assert clicks(settings) == {}


def test_a_key_that_left_reads_as_nulls_through_feast(publish: Publish, settings: Settings) -> None:
    publish(ONE, {"ann": 1, "bob": 3})
    publish(TWO, {"ann": 2})
    features = ["user_activity:user_click_count_1d", "user_activity:user_click_items_30d"]
    found = feast_store.open_store(settings).get_online_features(features, {"user_id": ["ann", "bob"]}).to_dict()
    assert found["user_click_count_1d"] == [2, None]
    assert found["user_click_items_30d"] == [["items-0", "items-1"], None]


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_a_publish_cut_short_leaves_lookups_answering_and_a_rerun_mends_it(
    publish: Publish, settings: Settings, die_after: Callable[[int], pytest.MonkeyPatch], chunks: int
) -> None:
    publish(ONE, {"ann": 1, "bob": 1, "cat": 1})
    patch = die_after(chunks)
    with pytest.raises(CutShortError):
        publish(TWO, {"ann": 2, "cat": 2, "dan": 2, "eve": 2})
    patch.undo()
    assert {"ann", "cat"} <= clicks(settings).keys()
    assert set(clicks(settings).values()) <= {("2024-05-01", 1), ("2024-05-02", 2)}
    assert read_watermark(settings.root) == Watermark(day=ONE, writing=TWO)
    publish(TWO, {"ann": 2, "cat": 2})  # its inputs were mended meanwhile: dan and eve are gone
    assert clicks(settings, [*EVERYONE, "eve"]) == {"ann": ("2024-05-02", 2), "cat": ("2024-05-02", 2)}


def test_an_older_day_does_not_overwrite_the_rows_of_a_publish_that_was_cut_short(
    publish: Publish, settings: Settings, die_after: Callable[[int], pytest.MonkeyPatch]
) -> None:
    publish(ONE, {"ann": 1})
    patch = die_after(1)
    with pytest.raises(CutShortError):
        publish(TWO, {"ann": 2, "bob": 2, "cat": 2})
    patch.undo()
    assert publish(ONE, {"ann": 7}).reason.endswith("run `esmm publish 2024-05-02`")
    assert clicks(settings, ["ann"]) == {"ann": ("2024-05-02", 2)}


def test_a_first_publish_cut_short_has_published_nothing(
    publish: Publish, settings: Settings, die_after: Callable[[int], pytest.MonkeyPatch]
) -> None:
    patch = die_after(1)
    with pytest.raises(CutShortError):
        publish(ONE, {"ann": 1, "bob": 1, "cat": 1})
    patch.undo()
    with pytest.raises(NotPublishedError, match="run `esmm publish DAY` first"):
        lookup("user", ["ann"], settings)


def test_online_values_are_the_snapshot_rows(publish: Publish, settings: Settings) -> None:
    users, items = {f"u{n}": n for n in range(5)}, {f"i{n}": n for n in range(3)}
    publish(ONE, users, items)
    for view, keys in zip((USERS, ITEMS), (list(users), list(items)), strict=True):
        rows = pl.read_parquet(snapshot_path(settings.root, view, ONE)).drop("event_timestamp").to_dicts()
        answers = lookup(view.entity, keys, settings)
        assert [{view.keys[0]: answer["key"], **answer["features"]} for answer in answers] == rows


def test_named_features_come_alone_and_found_does_not_depend_on_them(publish: Publish, settings: Settings) -> None:
    publish(ONE, {"ann": 2})
    ann, bob = lookup("user", ["ann", "bob"], settings, features=["user_click_age_s_30d"])
    assert ann == {"key": "ann", "found": True, "day": "2024-05-01", "features": {"user_click_age_s_30d": None}}
    assert bob == {"key": "bob", "found": False, "day": None, "features": None}
    assert lookup("user", [], settings) == []


def test_lookups_of_unknown_things_name_what_exists(publish: Publish, settings: Settings) -> None:
    publish(ONE, {"ann": 1})
    with pytest.raises(UnknownEntityError, match=r"'shop'.* user, item"):
        lookup("shop", ["ann"], settings)
    with pytest.raises(UnknownFeatureError, match=r"'height'.* user_click_count_1d"):
        lookup("user", ["ann"], settings, features=["height"])


def test_more_keys_than_one_question_may_hold_are_read_in_turn(publish: Publish, settings: Settings) -> None:
    publish(ONE, {"ann": 1})
    answers = lookup("user", [f"k{n}" for n in range(2500)] + ["ann"], settings)
    assert [answer["key"] for answer in answers if answer["found"]] == ["ann"]
    assert len(answers) == 2501


def test_definitions_are_applied_once(publish: Publish, settings: Settings) -> None:
    publish(ONE, {"ann": 1})
    store = feast_store.open_store(settings)
    assert feast_store.register(store, settings) is False
    store.delete_feature_service("ranking")
    assert feast_store.register(store, settings) is True
    assert [service.name for service in store.list_feature_services()] == ["ranking"]


def test_changed_definitions_are_applied_again(
    publish: Publish, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    publish(ONE, {"ann": 1})
    changed = tmp_path / "activity.py"
    changed.write_text(feast_store.DECLARATIONS.read_text().replace("prices and last behaviours", "prices and more"))
    monkeypatch.setattr(feast_store, "DECLARATIONS", changed)
    publish(TWO, {"ann": 2})
    assert "prices and more" in feast_store.open_store(settings).get_feature_view("user_activity").description
    assert clicks(settings) == {"ann": ("2024-05-02", 2)}


def test_publishes_of_one_home_take_turns(publish: Publish, settings: Settings) -> None:
    waiting = threading.Thread(target=publish, args=(ONE, {"ann": 1}))
    with exclusive(settings.root):
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert read_watermark(settings.root) == Watermark()
    waiting.join(60)
    assert read_watermark(settings.root) == Watermark(day=ONE)


def test_lookups_answer_while_a_day_is_published(publish: Publish, settings: Settings) -> None:
    keys = [f"u{n}" for n in range(60)]
    publish(ONE, dict.fromkeys(keys, 1))
    reader, seen = Lookup(settings), []
    writing = threading.Thread(target=publish, args=(TWO, dict.fromkeys(keys, 2)))
    writing.start()
    while writing.is_alive():
        seen += reader.answer("user", keys, features=["user_click_count_1d"])
        time.sleep(0.005)
    writing.join()
    assert all(answer["found"] for answer in seen)
    assert {(answer["day"], answer["features"]["user_click_count_1d"]) for answer in seen} <= {("2024-05-01", 1), ("2024-05-02", 2)}


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Africa/Cairo"])
def test_the_day_does_not_depend_on_the_reader_s_time_zone(
    publish: Publish, settings: Settings, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    day = date(2024, 4, 25)  # Cairo's clocks skip the hour after the next midnight
    publish(day, {"ann": 1})
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert clicks(settings) == {"ann": ("2024-04-25", 1)}
    finally:
        monkeypatch.undo()
        time.tzset()
