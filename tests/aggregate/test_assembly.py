"""The join of samples with the features of the day before."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from components.aggregate.assembly import assemble
from components.aggregate.features import item_features, user_features
from components.settings import Aggregate
from tests.aggregate.rows import DAY, draw, frame, midnight, sample

OPTIONS = Aggregate()
YESTERDAY = DAY - timedelta(days=1)


def features(rows: list[dict[str, Any]], *days: Any) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    users = [user_features(frame(rows), day=day, options=OPTIONS, category="cat_id").with_columns(day=pl.lit(day)) for day in days]
    items = [item_features(frame(rows), day=day, options=OPTIONS).with_columns(day=pl.lit(day)) for day in days]
    return pl.concat(users), pl.concat(items)


def test_each_sample_gets_the_features_of_the_day_before_its_own() -> None:
    past = [sample("p", midnight(YESTERDAY - timedelta(days=1))), sample("q", midnight(YESTERDAY))]
    rows = [sample("a", midnight(YESTERDAY)), sample("b", midnight(DAY))]
    found = assemble(frame(rows), *features(past, YESTERDAY - timedelta(days=1), YESTERDAY, DAY)).collect()
    assert found.select("impression_id", "user_impression_count_1d", "item_impression_count_7d").rows() == [("a", 1, 1), ("b", 1, 2)]


def test_unknown_and_null_ids_get_null_features() -> None:
    past = [sample("p", midnight(YESTERDAY), clicked=timedelta(0)), sample("q", midnight(YESTERDAY), None)]
    rows = [sample("a", midnight(DAY)), sample("b", midnight(DAY), None), sample("c", midnight(DAY), "new", "new")]
    found = assemble(frame(rows), *features(past, YESTERDAY)).collect()
    columns = ("user_impression_count_7d", "user_click_items_30d", "user_click_categories_30d", "item_impression_count_7d")
    assert found.select(columns).rows() == [(1, ["i"], [], 2), (None, None, None, 2), (None, None, None, None)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_and_number_of_rows_stay(seed: int) -> None:
    rows = draw(seed, 3000, days=2, back=0)
    found = assemble(frame(rows), *features(draw(9, 500), YESTERDAY, DAY)).collect(engine="streaming")
    assert found["impression_id"].to_list() == [row["impression_id"] for row in rows]
    assert found.select(frame(rows).collect_schema().names()).equals(frame(rows).collect())


def test_columns_are_the_samples_then_the_users_then_the_items() -> None:
    found = assemble(frame([]), *features([], YESTERDAY)).collect_schema().names()
    assert found[: len(frame([]).collect_schema())] == frame([]).collect_schema().names()
    assert [name.split("_")[0] for name in found[-26:]] == ["user"] * 14 + ["item"] * 12
    assert "event_timestamp" not in found


@pytest.mark.parametrize("twice", [0, 1], ids=["users", "items"])
@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_repeated_feature_key_is_refused(twice: int, engine: Any) -> None:
    tables = list(features([sample("p", midnight(YESTERDAY))], YESTERDAY))
    tables[twice] = pl.concat([tables[twice], tables[twice]])
    with pytest.raises(pl.exceptions.ComputeError, match="1:1"):
        assemble(frame([sample("a", midnight(DAY))]), *tables).collect(engine=engine)


def test_samples_stream_through() -> None:
    plan = assemble(frame(draw(1, 10)), *features(draw(2, 10), YESTERDAY)).show_graph(
        plan_stage="physical", engine="streaming", raw_output=True, show=False
    )
    assert plan is not None
    assert plan.count('label="equi-join') == 2
