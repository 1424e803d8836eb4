"""The join of samples with the features of the day before."""

import random
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from components.aggregate import assembly
from components.aggregate.assembly import assemble
from components.model.stream import read_chunks
from components.tables import FEATURES, ITEM_FEATURES, SAMPLES, USER_CATEGORY_FEATURES, USER_FEATURES, Table
from tests.aggregate.rows import DAY, FULL, ONE, Row, draw, impression, midnight

YESTERDAY = DAY - ONE
Features = dict[Table, pl.LazyFrame]


def frame(rows: list[Row]) -> pl.LazyFrame:
    schema = SAMPLES.schema(FULL)
    return pl.LazyFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def features(*keyed: tuple[Table, tuple[str, ...], date, int]) -> Features:
    """Return tables of features: rows of (table, key, day, number), in which every count is the number."""
    made = {}
    for table in FEATURES:
        schema = table.schema(FULL)
        rows = [
            {**{name: number for name, dtype in schema.items() if dtype == pl.Int64}, **dict(zip(table.key, key, strict=True)), "day": day}
            for wanted, key, day, number in keyed
            if wanted is table
        ]
        made[table] = pl.LazyFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
    return made


def test_each_sample_gets_the_features_of_the_day_before_its_own() -> None:
    known = [(USER_FEATURES, ("u",), DAY - number * ONE, number) for number in range(3)]
    items = [(ITEM_FEATURES, ("i",), DAY - number * ONE, 10 + number) for number in range(3)]
    pairs = [(USER_CATEGORY_FEATURES, ("u", "7"), DAY - number * ONE, 20 + number) for number in range(3)]
    rows = [impression("a", midnight(YESTERDAY), cat_id=7), impression("b", midnight(DAY), cat_id=7)]
    found = assemble(frame(rows), features(*known, *items, *pairs), category="cat_id").collect()
    columns = ("impression_id", "user_click_count_1d", "item_click_count_1d", "user_category_click_count_7d")
    assert found.select(columns).rows() == [("a", 2, 12, 22), ("b", 1, 11, 21)]


def test_unknown_and_null_ids_get_null_features() -> None:
    pair = (USER_CATEGORY_FEATURES, ("u", "7"), YESTERDAY, 3)
    known = features((USER_FEATURES, ("u",), YESTERDAY, 1), (ITEM_FEATURES, ("i",), YESTERDAY, 2), pair)
    ids: list[tuple[str | None, str]] = [("u", "i"), (None, "i"), ("new", "new")]
    rows = [impression(str(number), midnight(DAY), *mine, cat_id=7) for number, mine in enumerate(ids)]
    rows.append(impression("d", midnight(DAY), cat_id=8))
    found = assemble(frame(rows), known, category="cat_id").collect()
    columns = ("user_click_count_7d", "item_click_count_7d", "user_category_click_count_7d")
    assert found.select(columns).rows() == [(1, 2, 3), (None, 2, None), (None, None, None), (1, 2, None)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_and_number_of_rows_stay(seed: int) -> None:
    rows, _ = draw(seed, 3000, first=YESTERDAY, days=2)
    known = features(*((USER_FEATURES, (f"u{number}",), YESTERDAY, number) for number in range(3)))
    found = assemble(frame(rows), known, category="cat_id").collect(engine="streaming")
    assert found["impression_id"].to_list() == [row["impression_id"] for row in rows]
    assert found.select(list(SAMPLES.schema(FULL))).equals(frame(rows).collect())


@pytest.mark.parametrize("category", ["cat_id", ""])
def test_columns_are_the_samples_then_the_users_the_items_and_the_pairs(category: str) -> None:
    found = assemble(frame([]), features(), category=category).collect_schema().names()
    expected = list(SAMPLES.schema(FULL))
    for table in FEATURES if category else FEATURES[:2]:
        expected += [name for name in table.columns(FULL) if name not in (*table.key, "event_timestamp")]
    assert found == expected


@pytest.mark.parametrize("table", FEATURES, ids=lambda table: table.name)
@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_repeated_feature_key_is_refused(table: Table, engine: Any) -> None:
    known = features(*((table, ("u", "7")[: len(table.key)], YESTERDAY, number) for number in range(2)))
    with pytest.raises(pl.exceptions.ComputeError, match="1:1"):
        assemble(frame([impression("a", midnight(DAY))]), known, category="cat_id").collect(engine=engine)


def test_only_tables_of_which_a_column_is_asked_are_read() -> None:
    known = features(*((ITEM_FEATURES, ("i",), YESTERDAY, number) for number in range(2)), (USER_FEATURES, ("u",), YESTERDAY, 7))
    found = assemble(frame([impression("a", midnight(DAY))]), known, category="cat_id").select("item_id", "user_click_count_1d").collect()
    assert found.rows() == [("i", 7)]


def joined(samples: pl.LazyFrame, known: Features) -> pl.DataFrame:
    """Return what `assemble` says, by joins of whole tables."""
    pairs = known[USER_CATEGORY_FEATURES].rename({"category": "pair"})
    for table, key in ((known[USER_FEATURES], ["user_id"]), (known[ITEM_FEATURES], ["item_id"]), (pairs, ["user_id", "pair"])):
        later = table.drop("event_timestamp").with_columns(pl.col("day") + ONE)
        samples = samples.with_columns(pair=pl.col("cat_id").cast(pl.String)).join(
            later, on=[*key, "day"], how="left", maintain_order="left"
        )
    return samples.drop("pair").collect()


def drawn_features(seed: int) -> Features:
    """Return features of some of the drawn keys on some days, with lists, some of them empty or null."""
    chance = random.Random(seed)
    ids = {USER_FEATURES: ["u0", "u1", "u2"], ITEM_FEATURES: list("ijk"), USER_CATEGORY_FEATURES: [("u0", "1"), ("u1", "2"), ("u2", "1")]}
    keys = [(table, (key,) if isinstance(key, str) else key) for table, known in ids.items() for key in known]
    days = [YESTERDAY - 2 * ONE, YESTERDAY - ONE, YESTERDAY]
    made = features(*((*key, day, chance.randrange(99)) for day in days for key in keys if chance.random() < 0.8))
    lists = chance.choices([["x"], ["y", "z"], [], None], k=made[USER_FEATURES].collect().height)
    return made | {USER_FEATURES: made[USER_FEATURES].with_columns(user_click_items_30d=pl.Series(lists, dtype=pl.List(pl.String)))}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_rows_are_those_of_a_join_of_whole_tables(seed: int, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "_WINDOW_ROWS", 97)
    monkeypatch.setattr(assembly, "_PIECE_ROWS", 31)
    rows = frame(draw(seed, 1000, first=YESTERDAY - ONE, days=3)[0]).collect()
    rows = rows if seed else rows.sort("day", maintain_order=True)
    for number, part in enumerate(rows.iter_slices(220)):
        part.write_parquet(tmp_path / f"{number}.parquet", row_group_size=60)
    samples, known = pl.scan_parquet(tmp_path / "*.parquet"), drawn_features(seed)
    found, expected = assemble(samples, known, category="cat_id"), joined(samples, known)
    assert_frame_equal(found.collect(engine=engine), expected)
    conditions = [
        pl.col("user_id") == "u1",
        pl.col("item_click_count_1d") > 40,
        pl.col("cat_id").is_null() | pl.col("user_click_count_1d").is_null(),
    ]
    for condition in conditions:
        asked = ["user_click_items_30d", "impression_id", "user_category_click_count_7d"]
        assert_frame_equal(found.filter(condition).select(asked).collect(engine=engine), expected.filter(condition).select(asked))
        assert_frame_equal(found.head(300).filter(condition).collect(engine=engine), expected.head(300).filter(condition))
        assert_frame_equal(found.filter(condition).head(30).collect(engine=engine), expected.filter(condition).head(30))
    assert found.select(pl.len()).collect(engine=engine).item() == 1000
    assert found.filter(item_id="none").collect(engine=engine).schema == expected.schema


def test_reading_is_a_few_pieces_ahead_of_a_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "_WINDOW_ROWS", 100)
    monkeypatch.setattr(assembly, "_PIECE_ROWS", 10)
    windows, cut = [], assembly._windows

    def counted(samples: pl.LazyFrame, num_rows: int | None) -> Iterator[pl.LazyFrame]:
        for window in cut(samples, num_rows):
            windows.append(window)
            yield window

    monkeypatch.setattr(assembly, "_windows", counted)
    samples = frame([impression(str(number), midnight(DAY)) for number in range(5000)])
    chunks = read_chunks(assemble(samples, features(), category="cat_id"), 20)
    for taken in range(20, 200, 20):
        assert next(chunks).height == 20
        time.sleep(0.05)
        assert 100 * len(windows) <= taken + 500
    chunks.close()
    assert {window.collect().height for window in windows} == {100}
