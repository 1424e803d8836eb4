"""Users shared out over buckets, and buckets worked through in ranges: the same bytes in the lake, and every row in one of them."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from components.aggregate.snapshots import Snapshots
from components.aggregate.users import Sources, Users
from components.aggregate.windows import USER, USER_CATEGORY
from components.buckets import Bucket
from components.disk import scratch_folder
from components.errors import DataError
from components.settings import LakeSettings
from components.tables import DAYS, FEATURES, OUTCOMES, SAMPLES, USER_CATEGORY_DAYS, USER_DAYS, USER_FEATURES
from tests.aggregate.rows import BARE, DAY, FULL, ONE, World, draw, impression, midnight, outcome

FIRST = DAY - 34 * ONE


def holding(world: World, file_rows: int) -> Snapshots:
    settings = world.settings.model_copy(update={"lake": LakeSettings(file_rows=file_rows)})
    return replace(world.snapshots, settings=settings)


def aggregate(world: World, snapshots: Snapshots, buckets: int) -> bool:
    """Do the day in `buckets`, one after the other, and write it; return whether it was rolled."""
    with scratch_folder(world.settings.root / "scratch") as scratch:
        folders = [scratch / str(number) for number in range(buckets)]
        for number, folder in enumerate(folders):
            snapshots.prepare(DAY, Bucket(number, buckets), folder)
        return bool(snapshots.write(DAY, folders)["rolled"])


def written(world: World) -> dict[str, str]:
    return {table.name: world.lake.fingerprint(table, DAY) for table in (*FEATURES, *DAYS)}


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> World:
    """35 days of 12 users, one impression in 13 without any; the day before the last is aggregated."""
    shown, outcomes = draw(5, 1200, first=FIRST, days=35, users=12)
    world = World(tmp_path_factory.mktemp("month"), shown, outcomes, list_length=4)
    for number in range(35):
        world.learn(FIRST + number * ONE)
    world.aggregate(DAY - ONE)
    return world


@pytest.mark.parametrize("rolled", [True, False], ids=["rolled", "rebuilt"])
def test_buckets_and_ranges_of_any_number_give_the_same_bytes(month: World, rolled: bool) -> None:
    yesterday = month.records.require(DAY - ONE, "aggregate")
    if not rolled:
        month.records.remove(DAY - ONE, "aggregate")
    month.aggregate(DAY)
    expected = written(month)
    assert all(height > 0 for height in (len(rows) for rows in month.rows(DAY).values()))
    for buckets, file_rows in ((1, 2), (4, 4_000_000), (16, 4_000_000)):
        for when in (DAY, DAY - 3 * ONE) if not rolled else (DAY,):
            month.records.remove(when, "day-sums")
        assert aggregate(month, holding(month, file_rows), buckets) == rolled
        assert written(month) == expected, (buckets, file_rows)
    month.records.write(DAY - ONE, "aggregate", yesterday)


def test_lists_of_several_pages_have_the_same_bytes_from_any_number_of_buckets(tmp_path: Path) -> None:
    """The pages of a row group that is part of a large batch are not those of one put together of small ones: 20,000 users too many."""
    world, first = World(tmp_path, [], [], BARE), midnight(DAY)
    world.learn(DAY)
    number = pl.int_range(450_000, dtype=pl.Int64)
    clicked = pl.select(
        impression_id=number.cast(pl.String),
        user_id=pl.format("u{}", number % 150_000),
        item_id=pl.format("i{}", number * 7919 % 100_003),
        exposed_at=pl.lit(first),
        outcome=pl.lit("click"),
        happened_at=pl.lit(first) + pl.duration(microseconds=number * 104_729 % 86_400_000_000),
        cat_id=pl.lit(1, pl.Int64),
        shop_id=pl.lit("s"),
        brand_id=pl.lit("b"),
        price=pl.lit(1.0),
    )
    world.lake.replace(OUTCOMES, DAY, clicked.lazy())
    found = set()
    for buckets, file_rows in ((1, 4_000_000), (1, 400_000), (3, 4_000_000)):
        aggregate(world, holding(world, file_rows), buckets)
        found.add(world.lake.fingerprint(USER_FEATURES, DAY))
    assert len(found) == 1


def test_rows_without_a_user_count_once_for_their_item(tmp_path: Path) -> None:
    shown = [impression("a", midnight(DAY), None), impression("b", midnight(DAY), "u"), impression("c", midnight(DAY), "v")]
    world = World(tmp_path, shown, [outcome(row, "click", timedelta(0)) for row in shown])
    world.learn(DAY)
    aggregate(world, world.snapshots, 7)
    (item,) = world.rows(DAY)["item_features"]
    assert (item["item_impression_count_1d"], item["item_click_count_1d"], item["item_click_user_days_1d"]) == (3, 3, 2)


@pytest.mark.parametrize("table", [SAMPLES, OUTCOMES], ids=lambda table: table.name)
def test_buckets_prepared_before_and_after_the_lake_changed_are_refused(tmp_path: Path, table: object) -> None:
    shown = impression("a", midnight(DAY))
    world = World(tmp_path, [shown], [])
    world.learn(DAY)
    folders = [tmp_path / "before", tmp_path / "after"]
    world.snapshots.prepare(DAY, Bucket(0, 2), folders[0])
    if table is SAMPLES:
        world.shown = [shown, impression("b", midnight(DAY))]
    world.learn(DAY)
    world.snapshots.prepare(DAY, Bucket(1, 2), folders[1])
    with pytest.raises(DataError, match=r"prepared from the same inputs.*run `esmm aggregate 2024-05-30` again"):
        world.snapshots.write(DAY, folders)
    assert world.rows(DAY)["user_features"] == []


def test_each_user_is_in_one_range_and_a_range_holds_about_as_much_as_allowed() -> None:
    counts = {"a": 2, "b": 9, "c": 0, "d": 0, "e": 4, "f": 1}
    rows = [{"user_id": user, "day": DAY, "click_count": count, "action_count": 0, "conversion_count": 0} for user, count in counts.items()]
    schema = USER_DAYS.schema(FULL)
    days = pl.LazyFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
    pairs = pl.LazyFrame(schema=USER_CATEGORY_DAYS.schema(FULL))
    sources = Sources({USER: days, USER_CATEGORY: pairs}, None, pl.LazyFrame(schema=OUTCOMES.schema(FULL)))
    held = {
        limit: [sources.of(within).days[USER].collect()["user_id"].to_list() for within in Users(DAY, 50, FULL).ranges(sources, limit)]
        for limit in (100, 22, 6, 1)
    }
    assert held[100] == held[22] == [list("abcdef")]
    assert held[6] == [["a", "b"], ["c", "d", "e"], ["f"]]
    assert held[1] == [[user] for user in "abcdef"]
