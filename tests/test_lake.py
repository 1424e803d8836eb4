"""The lake: a day is replaced whole, in one commit, by any number of writers."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.io.plugins import register_io_source

from components.errors import DataError, SettingsError
from components.lake import Lake
from components.profile import ContextType, Profile, Source
from components.tables import IMPRESSIONS, ITEM_FEATURES, QUARANTINE, USER_FEATURES

PROFILE = Profile(
    name="shop",
    impressions=Source(columns={name: name for name in ("impression_id", "item_id", "exposed_at")}, context={"scene": "string"}),
    clicks=Source(columns={"item_id": "item_id", "clicked_at": "clicked_at"}),
    purchases=Source(columns={"order_id": "order_id", "item_id": "item_id", "purchased_at": "purchased_at"}),
    fields=(),
)
DAY = date(2024, 5, 1)


def impressions(*ids: str, scene: str = "home") -> pl.LazyFrame:
    at = datetime(2024, 5, 1, 12, tzinfo=UTC)
    return pl.LazyFrame({"impression_id": ids}).select(
        "impression_id",
        user_id=pl.lit(None, dtype=pl.String),
        item_id=pl.lit("i"),
        exposed_at=pl.lit(at),
        position=pl.lit(None, dtype=pl.Int32),
        scene=pl.lit(scene),
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path), PROFILE)


def ids(lake: Lake, first: date, last: date | None = None) -> list[str]:
    return lake.scan(IMPRESSIONS, first, last).collect()["impression_id"].sort().to_list()


def test_a_day_is_replaced_and_the_others_stay(lake: Lake) -> None:
    lake.replace(IMPRESSIONS, DAY, impressions("a", "b"))
    lake.replace(IMPRESSIONS, date(2024, 5, 2), impressions("c"))
    lake.replace(IMPRESSIONS, DAY, impressions("d"))
    assert (ids(lake, DAY), ids(lake, DAY, date(2024, 5, 2))) == (["d"], ["c", "d"])
    stored = lake.stored(IMPRESSIONS, DAY, date(2024, 5, 3))
    assert [sum(file.num_rows for file in day.files) for day in stored.values()] == [1, 1, 0]
    assert lake.read(stored[DAY]).collect()["impression_id"].to_list() == ["d"]


def test_an_empty_day_empties_it(lake: Lake) -> None:
    lake.replace(IMPRESSIONS, DAY, impressions("a"))
    lake.replace(IMPRESSIONS, DAY, impressions())
    assert ids(lake, DAY) == []


def test_the_same_rows_give_the_same_bytes_and_others_do_not(lake: Lake) -> None:
    prints = []
    for rows in (impressions("a", "b"), impressions("a", "b"), impressions("a", "b", scene="cart")):
        lake.replace(IMPRESSIONS, DAY, rows)
        prints.append(lake.fingerprint(IMPRESSIONS, DAY))
    assert prints[0] == prints[1] != prints[2]


def test_many_rows_are_kept_in_their_order_and_give_the_same_bytes(lake: Lake) -> None:
    many = impressions(*(f"{row:07}" for row in range(300_000)))
    prints = set()
    for _ in range(3):
        lake.replace(IMPRESSIONS, DAY, many)
        prints.add(lake.fingerprint(IMPRESSIONS, DAY))
    assert len(prints) == 1
    assert lake.scan(IMPRESSIONS, DAY).collect()["impression_id"].is_sorted()


def test_each_kind_of_a_quarantined_day_is_replaced_by_itself(lake: Lake) -> None:
    row = pl.LazyFrame({"file": ["f"], "row": [1], "reason": ["bad"], "raw": ["x"]})
    lake.replace(QUARANTINE, DAY, row, kind="clicks")
    lake.replace(QUARANTINE, DAY, row, kind="purchases")
    lake.replace(QUARANTINE, DAY, row.limit(0), kind="clicks")
    assert lake.scan(QUARANTINE, DAY).collect()["kind"].to_list() == ["purchases"]


def test_slices_are_asked_for_one_after_the_other_and_read_back_in_their_order(lake: Lake) -> None:
    files = Path(lake.location(IMPRESSIONS))

    def slices() -> Iterator[pl.LazyFrame]:
        for number, name in enumerate("zyx"):
            assert len(list(files.rglob("*.parquet"))) == number
            yield impressions(f"{name}1", f"{name}2")
        yield impressions()

    lake.replace(IMPRESSIONS, date(2024, 5, 2), impressions("a"))
    lake.vacuum(timedelta(hours=1))
    files = files / f"arrived_on={DAY}"
    lake.replace(IMPRESSIONS, DAY, slices())
    assert [name.split("-")[-2] for name in sorted(path.name for path in files.iterdir())] == [f"0000{number}" for number in range(3)]
    assert lake.scan(IMPRESSIONS, DAY, date(2024, 5, 2)).collect()["impression_id"].to_list() == ["z1", "z2", "y1", "y2", "x1", "x2", "a"]


def test_two_writers_of_one_part_do_not_write_into_the_same_file(lake: Lake) -> None:
    first, second = (lake.write_numbered(IMPRESSIONS, DAY, [(3, impressions(name))], stem="part") for name in "ab")
    lake.commit(lake.gather(IMPRESSIONS, DAY, second.files))
    assert (ids(lake, DAY), first.files[0].path == second.files[0].path) == (["b"], False)


def test_a_writer_that_fails_leaves_the_old_day_and_no_file(lake: Lake) -> None:
    def slices() -> Iterator[pl.LazyFrame]:
        yield impressions("b")
        raise DataError("torn log")

    lake.replace(IMPRESSIONS, DAY, impressions("a"))
    with pytest.raises(DataError, match="torn log"):
        lake.replace(IMPRESSIONS, DAY, slices())
    assert ids(lake, DAY) == ["a"]
    assert len(list(Path(lake.location(IMPRESSIONS)).rglob("*.parquet"))) == 1


def test_a_version_is_read_as_it_was_until_its_files_are_vacuumed(lake: Lake) -> None:
    other = date(2024, 5, 2)
    versions = [lake.replace(IMPRESSIONS, DAY, impressions(name)) for name in "ab"]
    lake.replace(IMPRESSIONS, other, impressions("c"))
    assert versions == [1, 2]
    assert [lake.scan(IMPRESSIONS, DAY, version=version).collect()["impression_id"].item() for version in versions] == ["a", "b"]
    assert lake.scan(IMPRESSIONS, DAY, version=0).collect().is_empty()
    assert sum(lake.vacuum(timedelta(hours=1)).values()) == 0
    assert ids(lake, DAY) == ["b"]
    assert lake.vacuum(timedelta(0))["impressions"] == 1
    assert lake.scan(IMPRESSIONS, DAY, version=2).collect()["impression_id"].item() == "b"
    with pytest.raises(DataError, match=r"files of version 1, found 1 of 1 missing.* vacuumed .*rerun the step that writes impressions"):
        lake.scan(IMPRESSIONS, DAY, version=1)
    with pytest.raises(DataError, match="files of version 99"):
        lake.scan(IMPRESSIONS, DAY, version=99)


def test_vacuum_takes_files_that_no_commit_names_by_their_age(lake: Lake) -> None:
    lake.replace(IMPRESSIONS, DAY, impressions("a"))
    folder = Path(lake.location(IMPRESSIONS)) / f"arrived_on={DAY}"
    for name, age_s in (("killed", 7_300), ("being-written", 7_100)):
        (folder / f"{name}.parquet").write_text("x")
        os.utime(folder / f"{name}.parquet", (time.time() - age_s,) * 2)
    assert lake.vacuum(timedelta(minutes=90))["impressions"] == 1  # rounded up to 2 h
    assert (folder / "being-written.parquet").exists()
    assert ids(lake, DAY) == ["a"]


def write(uri: str, number: int, day: date, rounds: int = 1) -> None:
    """Replace the day once or more and see that each version holds one's own rows."""
    lake, own = Lake(uri, PROFILE), [f"{number}-{row}" for row in range(5)]
    for _ in range(rounds):
        version = lake.replace(IMPRESSIONS, day, impressions(*own))
        assert lake.scan(IMPRESSIONS, day, version=version).collect()["impression_id"].to_list() == own


def write_at_once(uri: str, days: list[date], rounds: int = 1) -> None:
    context = get_context("spawn")
    writers = [context.Process(target=write, args=(uri, number, day, rounds)) for number, day in enumerate(days)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * len(writers)


@pytest.mark.parametrize(("writers", "days"), [(8, (DAY,)), (4, (DAY, date(2024, 5, 2)))])
def test_of_many_writers_one_stands_whole_on_each_day(tmp_path: Path, writers: int, days: tuple[date, ...]) -> None:
    rounds = 4
    write_at_once(str(tmp_path), [days[number % len(days)] for number in range(writers)], rounds)
    lake = Lake(str(tmp_path), PROFILE)
    assert lake.version(IMPRESSIONS) == rounds * writers
    for parity, day in enumerate(days):
        found = ids(lake, day)
        assert len(found) == 5
        assert len({name.split("-")[0] for name in found}) == 1
        assert int(found[0][0]) % len(days) == parity


@pytest.mark.parametrize("name", ["with space", "überall", "plus+hash#", "quo'te"])
def test_a_folder_may_have_any_name_that_is_no_pattern(tmp_path: Path, name: str) -> None:
    lake = Lake(str(tmp_path / name), PROFILE)
    lake.replace(IMPRESSIONS, DAY, impressions("a", "b"))
    lake.replace(IMPRESSIONS, DAY, impressions("c"))
    assert lake.scan(IMPRESSIONS, DAY).collect()["impression_id"].to_list() == ["c"]
    assert lake.fingerprint(IMPRESSIONS, DAY)


@pytest.mark.parametrize("name", ["per%20cent", "st*r", "wh?t", "br[a]ck", "env=prod"])
def test_a_folder_that_would_be_read_as_a_pattern_or_a_partition_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="expected a path without any of"):
        Lake(str(tmp_path / name), PROFILE)


def with_context(lake: Lake, context: dict[str, ContextType]) -> Lake:
    """Return the same lake as read with a profile of other context columns."""
    source = PROFILE.impressions.model_copy(update={"context": context})
    return Lake(lake.uri, PROFILE.model_copy(update={"impressions": source}))


def test_a_column_of_another_type_is_refused_by_name(lake: Lake) -> None:
    lake.replace(IMPRESSIONS, DAY, impressions("a"))
    with pytest.raises(SettingsError, match=r"where it says scene; the profile changed"):
        with_context(lake, {"scene": "integer"}).scan(IMPRESSIONS, DAY)


def test_a_table_that_has_no_context_has_the_columns_that_the_profile_makes_it_have(lake: Lake) -> None:
    lake.create()
    priced = with_context(lake, {"scene": "string", "price": "float"}).profile.model_copy(update={"price": "price"})
    with pytest.raises(SettingsError, match=r"where it says .*item_price_mean_30d.*; the profile changed"):
        Lake(lake.uri, priced).scan(ITEM_FEATURES, DAY)


def test_context_columns_come_and_go_with_the_profile(lake: Lake) -> None:
    day, next_day, third = (DAY + timedelta(days=number) for number in range(3))
    lake.replace(IMPRESSIONS, day, impressions("a").with_columns(scene=pl.lit("home")))
    first = lake.version(IMPRESSIONS)
    wider = with_context(lake, {"scene": "string", "device": "string"})
    assert wider.scan(IMPRESSIONS, day).select("scene", "device").collect().rows() == [("home", None)]
    assert lake.version(IMPRESSIONS) == first  # reading adds nothing
    wider.replace(IMPRESSIONS, next_day, impressions("b").with_columns(scene=pl.lit("cart"), device=pl.lit("phone")))
    other = with_context(lake, {"device": "string"})
    other.replace(IMPRESSIONS, third, impressions("c").select(pl.exclude("scene")).with_columns(device=pl.lit("desk")))
    both = wider.scan(IMPRESSIONS, day, third).select("impression_id", "scene", "device").collect()
    assert both.rows() == [("a", "home", None), ("b", "cart", "phone"), ("c", None, "desk")]
    assert lake.scan(IMPRESSIONS, day, third).collect()["scene"].to_list() == ["home", "cart", None]
    assert with_context(lake, {}).scan(IMPRESSIONS, day, third).collect().columns == [
        name for name in lake.scan(IMPRESSIONS, day).collect_schema() if name != "scene"
    ]
    assert wider.scan(IMPRESSIONS, day, version=first).collect()["device"].to_list() == [None]


def test_bytes_of_lists_do_not_hang_on_the_batches_that_rows_come_in(lake: Lake) -> None:
    number = pl.int_range(200_000, dtype=pl.Int64)
    times = pl.concat_list(number * prime for prime in (7919, 104_729, 1_299_709, 15_485_863))
    made = {"user_id": pl.format("u{}", number), "user_click_times_30d": times}
    columns = {name: dtype for name, dtype in USER_FEATURES.schema(PROFILE).items() if name != "day"}
    features = pl.select(made.get(name, pl.lit(None)).cast(dtype).alias(name) for name, dtype in columns.items())
    found = set()
    for height in (200_000, 16_384, 5000):
        lake.replace(USER_FEATURES, DAY, in_batches(features, height))
        found.add(lake.fingerprint(USER_FEATURES, DAY))
    assert len(found) == 1


def in_batches(rows: pl.DataFrame, height: int) -> pl.LazyFrame:
    def read(columns: list[str] | None, *_: object) -> Iterator[pl.DataFrame]:
        yield from (part if columns is None else part.select(columns) for part in rows.iter_slices(height))

    schema: Any = dict(rows.schema)
    return register_io_source(read, schema=schema, is_pure=True)
