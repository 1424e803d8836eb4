"""The join of samples with the features of the day before."""

from datetime import date
from typing import Any

import polars as pl
import pytest

from components.aggregate.assembly import assemble
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


def test_samples_stream_through() -> None:
    rows, _ = draw(1, 10, first=DAY, days=1)
    assembled = assemble(frame(rows), features(), category="cat_id")
    plan = assembled.show_graph(plan_stage="physical", engine="streaming", raw_output=True, show=False)
    assert plan is not None
    assert plan.count('label="equi-join') == 3
