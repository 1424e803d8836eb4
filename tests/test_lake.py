"""The lake: a day is replaced whole, in one commit, by any number of writers."""

from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import pytest

from components.errors import SettingsError
from components.lake import Lake
from components.profile import ContextType, Profile, Source
from components.tables import IMPRESSIONS, QUARANTINE

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
    assert lake.days(IMPRESSIONS) == [DAY, date(2024, 5, 2)]


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


def write(uri: str, number: int, day: date) -> None:
    Lake(uri, PROFILE).replace(IMPRESSIONS, day, impressions(*(f"{number}-{row}" for row in range(5))))


def test_of_several_first_writers_of_two_days_one_stands_whole_on_each(tmp_path: Path) -> None:
    context, days = get_context("spawn"), (DAY, date(2024, 5, 2))
    writers = [context.Process(target=write, args=(str(tmp_path), number, days[number % 2])) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 6
    for parity, day in enumerate(days):
        found = ids(Lake(str(tmp_path), PROFILE), day)
        assert len(found) == 5
        assert {int(name.split("-")[0]) % 2 for name in found} == {parity}
        assert len({name.split("-")[0] for name in found}) == 1


@pytest.mark.parametrize("name", ["with space", "überall", "plus+hash#", "quo'te"])
def test_a_folder_may_have_any_name_that_is_no_pattern(tmp_path: Path, name: str) -> None:
    lake = Lake(str(tmp_path / name), PROFILE)
    lake.replace(IMPRESSIONS, DAY, impressions("a", "b"))
    lake.replace(IMPRESSIONS, DAY, impressions("c"))
    assert lake.scan(IMPRESSIONS, DAY).collect()["impression_id"].to_list() == ["c"]
    assert lake.fingerprint(IMPRESSIONS, DAY)


@pytest.mark.parametrize("name", ["per%20cent", "st*r", "wh?t", "br[a]ck"])
def test_a_folder_that_would_be_read_as_a_pattern_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="expected a path without any of"):
        Lake(str(tmp_path / name), PROFILE)


@pytest.mark.parametrize("context", [{}, {"scene": "integer"}, {"scene": "string", "device": "string"}])
def test_a_table_of_another_profile_is_refused_by_column(lake: Lake, context: dict[str, ContextType]) -> None:
    lake.replace(IMPRESSIONS, DAY, impressions("a"))
    source = PROFILE.impressions.model_copy(update={"context": context})
    other = Lake(lake.uri, PROFILE.model_copy(update={"impressions": source}))
    with pytest.raises(SettingsError, match=r"where it says (scene|device); the profile changed"):
        other.scan(IMPRESSIONS, DAY)
