"""Features rolled from yesterday's are those rebuilt from the window, byte for byte; and they are rebuilt when they must be."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from components.tables import DAYS, USER_FEATURES
from tests.aggregate.reference import Reference
from tests.aggregate.rows import DAY, FULL, ONE, World, draw

FIRST = DAY - 37 * ONE
REBUILT = (1, 7, 29, 30, 31, 36, 37)


def test_rolled_features_are_the_rebuilt_ones_over_38_days_with_lapsing_keys(tmp_path: Path) -> None:
    """Users come for two days each and lapse; outcomes become known up to eight days late."""
    shown, outcomes = draw(2, 900, first=FIRST, days=38, life=2)
    world = World(tmp_path, shown, outcomes, list_length=4)
    users = []
    for number in range(38):
        day = FIRST + number * ONE
        assert world.run(day, day)["rolled"] == (number > 0)
        users.append({row["user_id"] for row in world.rows(day)["user_features"]})
        if number in REBUILT:
            found = world.fingerprints(day)
            yesterday = world.records.require(day - ONE, "aggregate")
            world.records.remove(day - ONE, "aggregate")
            assert not world.aggregate(day)["rolled"]
            assert world.fingerprints(day) == found, day
            world.records.write(day - ONE, "aggregate", yesterday)
    assert len(users[20] - users[-1]) >= 4
    expected = Reference(shown, outcomes, day=DAY, options=world.settings.aggregate, profile=FULL).tables()
    assert world.rows(DAY)["user_category_features"] == expected["user_category_features"]
    columns = list(USER_FEATURES.columns(FULL))
    assert world.rows(DAY)["user_features"] == [{name: row[name] for name in columns} for row in expected["user_features"]]


@pytest.fixture
def week(tmp_path: Path) -> World:
    """Nine days, rolled."""
    world = World(tmp_path, *draw(3, 200, first=DAY - 8 * ONE, days=9))
    assert world.run(DAY - 8 * ONE, DAY)["rolled"]
    return world


def test_a_rerun_gives_the_same_bytes_and_so_does_a_hole(week: World) -> None:
    before = week.fingerprints(DAY)
    assert week.aggregate(DAY)["rolled"]
    assert week.fingerprints(DAY) == before
    week.records.remove(DAY - ONE, "aggregate")
    for table in DAYS:
        week.lake.replace(table, DAY - 3 * ONE, week.lake.scan(table, DAY).clear())
    week.records.remove(DAY - 3 * ONE, "day-sums")
    assert not week.aggregate(DAY)["rolled"]
    assert week.fingerprints(DAY) == before


def test_a_day_that_changed_is_counted_as_it_is_now(week: World, tmp_path: Path) -> None:
    """Yesterday's features hold what an earlier day said then: they are not rolled on."""
    kept = [row for row in week.outcomes if row["day"] != DAY - 4 * ONE]
    week.outcomes = kept
    week.learn(DAY - 4 * ONE)
    assert not week.aggregate(DAY)["rolled"]
    fresh = World(tmp_path / "fresh", week.shown, kept)
    fresh.run(DAY - 8 * ONE, DAY)
    assert week.fingerprints(DAY) == fresh.fingerprints(DAY)


def test_other_lists_are_not_rolled_from_shorter_ones(week: World) -> None:
    world = World(week.settings.root, week.shown, week.outcomes, list_length=2)
    assert not world.aggregate(DAY)["rolled"]
    assert max(len(row["user_click_items_30d"]) for row in world.rows(DAY)["user_features"]) == 2


def test_days_never_relabelled_count_for_nothing(week: World) -> None:
    week.records.remove(DAY - ONE, "relabel")
    assert not week.aggregate(DAY)["rolled"]
    shown = sum(row["day"] != DAY - ONE for row in week.shown)
    assert sum(row["item_impression_count_30d"] for row in week.rows(DAY)["item_features"]) == shown


_SCRIPT = """
import sys
from datetime import timedelta
from pathlib import Path
from tests.aggregate.rows import DAY, World, draw
world = World(Path(sys.argv[1]), *draw(4, 3000, first=DAY - timedelta(days=2), days=3, users=200))
world.run(DAY - timedelta(days=2), DAY)
print(world.fingerprints(DAY))
"""


def test_threads_and_time_zones_change_no_byte(tmp_path: Path) -> None:
    places = [("1", "UTC"), ("2", "America/New_York"), ("2", "Australia/Lord_Howe")]
    found = set()
    for number, (threads, zone) in enumerate(places):
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "TZ": zone}
        command = [sys.executable, "-c", _SCRIPT, str(tmp_path / str(number))]
        found.add(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert len(found) == 1


def test_the_order_in_which_outcomes_were_learnt_within_a_day_moves_no_byte(week: World, tmp_path: Path) -> None:
    turned = World(tmp_path / "turned", week.shown[::-1], week.outcomes[::-1])
    turned.run(DAY - 8 * ONE, DAY)
    assert turned.fingerprints(DAY) == week.fingerprints(DAY)


def test_a_day_after_a_pause_is_rebuilt(week: World) -> None:
    later = DAY + timedelta(days=25)
    week.learn(later)
    assert not week.aggregate(later)["rolled"]
    assert {row["user_impression_count_1d"] for row in week.rows(later)["user_features"]} == {0}
