"""What the steps read by day, from tables written by hand."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from components.aggregate import assembly
from components.inputs import assembled, open_lake, with_scores
from components.model.stream import read_chunks
from components.records import Records
from components.settings import Settings
from components.tables import ITEM_FEATURES, SAMPLES, USER_CATEGORY_FEATURES, USER_FEATURES, Table
from tests.aggregate.rows import DAY, FULL, ONE, Row, impression, midnight

EVE = DAY - ONE


def rows_of(table: Table, rows: list[Row]) -> pl.LazyFrame:
    schema = {name: dtype for name, dtype in table.schema(FULL).items() if name not in table.partition}
    return pl.LazyFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Write two days of 240 samples, one every 6 minutes, in files of 50; features of the user of the days before count 10 and 20."""
    made = Settings(home=tmp_path)
    made.__dict__["profile"] = FULL
    lake, records = open_lake(made), Records(made.root)
    for number, day in enumerate((EVE, DAY), 1):
        instants = [midnight(day) + timedelta(minutes=6 * place) for place in range(240)]
        shown = [impression(f"{day}-{place:03}", at, cat_id=7, clicked=place % 9 == 0) for place, at in enumerate(instants)]
        version = lake.replace(SAMPLES, day, [rows_of(SAMPLES, shown[first : first + 50]) for first in range(0, 240, 50)])
        records.write(day, "label", {"table_version": version})
        before = day - ONE
        lake.replace(USER_FEATURES, before, rows_of(USER_FEATURES, [{"user_id": "u", "user_click_count_1d": 10 * number}]))
        lake.replace(ITEM_FEATURES, before, rows_of(ITEM_FEATURES, [{"item_id": "other", "item_click_count_1d": 1}]))
        pair = {"user_id": "u", "category": "7", "user_category_click_count_7d": number}
        lake.replace(USER_CATEGORY_FEATURES, before, rows_of(USER_CATEGORY_FEATURES, [pair]))
    return made


def expected(first: int, end: int) -> pl.DataFrame:
    """Return rows of what `read` selects, numbered through both days."""
    days = [(EVE if number < 240 else DAY, number) for number in range(first, end)]
    rows = [(f"{day}-{number % 240:03}", day, 10 if day == EVE else 20, None, 1 if day == EVE else 2) for day, number in days]
    schema = {"impression_id": pl.String, "day": pl.Date, "user_click_count_1d": pl.Int64}
    return pl.DataFrame(rows, schema={**schema, "item_click_count_1d": pl.Int64, "user_category_click_count_7d": pl.Int64}, orient="row")


@pytest.mark.parametrize("window", [7, 50, 64, 1000])
def test_rows_of_two_days_are_read_in_time_order_whatever_the_windows(
    settings: Settings, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "_WINDOW_ROWS", window)
    rows = assembled(DAY, settings, first=midnight(EVE) + timedelta(hours=22), end=midnight(DAY) + timedelta(hours=20))
    asked = rows.select(expected(0, 0).columns)
    chunks = list(read_chunks(asked, 33))
    assert [chunk.height for chunk in chunks] == [33] * 6 + [22]
    assert_frame_equal(pl.concat(chunks), expected(220, 440))
    assert_frame_equal(asked.head(25).collect(engine="streaming"), expected(220, 245))
    clicked = rows.filter("clicked").select(expected(0, 0).columns).collect(engine="streaming")
    assert_frame_equal(clicked, pl.concat(expected(n, n + 1) for n in range(220, 440) if n % 240 % 9 == 0))


def test_no_rows_between_two_instants_have_all_columns(settings: Settings) -> None:
    found = assembled(DAY, settings, first=midnight(DAY), end=midnight(DAY))
    assert found.collect(engine="streaming").schema == found.collect_schema()
    assert list(read_chunks(found, 10)) == []


def test_an_error_of_a_later_day_arrives_when_its_rows_are_read(settings: Settings) -> None:
    twice = [{"user_id": "u", "user_click_count_1d": number} for number in range(2)]
    open_lake(settings).replace(USER_FEATURES, EVE, rows_of(USER_FEATURES, twice))
    rows = assembled(DAY, settings, first=midnight(EVE), end=midnight(DAY + ONE)).select("impression_id", "user_click_count_1d")
    with pytest.raises(pl.exceptions.ComputeError, match=r"user_features.*1:1.*'u'"):
        list(read_chunks(rows, 100))


def test_a_holdout_keeps_the_known_share_of_its_rows_where_they_have_one(settings: Settings) -> None:
    rows = assembled(DAY, settings, first=midnight(DAY), end=midnight(DAY) + timedelta(minutes=18))
    ids = rows.select("impression_id").collect()
    scores = {"challenger": ids.with_columns(pctr=0.1, pcvr=0.2, pctcvr=pl.lit(0.02)).reverse()}
    aged = with_scores(rows.with_columns(known_share=pl.Series([0.5, 0.7, 0.9])), scores, settings)
    assert aged.select("impression_id", "known_share", "challenger_pcvr").rows() == [
        (name, share, 0.2) for name, share in zip(ids["impression_id"], (0.5, 0.7, 0.9), strict=True)
    ]
    assert "known_share" not in with_scores(rows, scores, settings).columns
