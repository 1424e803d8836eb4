"""Every critical expectation fails on its seeded defect, at its boundary, and on nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from components.validate.failures import Failure
from components.validate.suites import DayFrames

Judge = Callable[..., list[Failure]]
END = datetime(2024, 5, 2, tzinfo=UTC)
TABLES = ("samples", "impressions", "clicks", "actions", "purchases")


def in_row(number: int, **values: Any) -> Callable[[pl.LazyFrame], pl.LazyFrame]:
    """Replace values of impression i<number>."""
    here = pl.col("impression_id") == f"i{number}"
    exprs = {name: value if isinstance(value, pl.Expr) else pl.lit(value) for name, value in values.items()}
    return lambda frame: frame.with_columns(**{name: pl.when(here).then(value).otherwise(pl.col(name)) for name, value in exprs.items()})


def critical(failures: list[Failure]) -> set[tuple[str, str]]:
    return {(failure.column, failure.found) for failure in failures if failure.severity == "critical"}


@pytest.mark.parametrize("table", TABLES)
def test_a_clean_table_meets_all_its_expectations(table: str, clean: DayFrames, judge: Judge) -> None:
    assert judge(table, getattr(clean, table)) == []


@pytest.mark.parametrize(
    ("spoil", "column"),
    [
        pytest.param(
            in_row(0, clicked=False, clicked_at=None, acted=False, acted_at=None), "num_conversions_without_click", id="conversion"
        ),
        pytest.param(in_row(6, clicked=False, clicked_at=None), "num_actions_without_click", id="action"),
        pytest.param(
            in_row(9, clicked_at=pl.col("exposed_at") - timedelta(microseconds=1)), "num_clicks_before_exposure", id="click order"
        ),
        pytest.param(in_row(6, acted_at=pl.col("clicked_at") - timedelta(microseconds=1)), "num_actions_before_click", id="action order"),
        pytest.param(
            in_row(0, converted_at=pl.col("clicked_at") - timedelta(seconds=1)), "num_conversions_before_click", id="conversion order"
        ),
        pytest.param(in_row(9, clicked_at=None), "num_flags_unlike_instants", id="click without instant"),
        pytest.param(in_row(50, converted_at=END - timedelta(seconds=1)), "num_flags_unlike_instants", id="instant without conversion"),
        pytest.param(in_row(99, exposed_at=END, matures_at=END + timedelta(days=8)), "num_exposed_outside_day", id="next day"),
        pytest.param(in_row(0, converted_at=END), "num_outcomes_after_cut_off", id="after the cut-off"),
        pytest.param(in_row(50, matures_at=END), "num_wrong_maturities", id="maturity"),
        pytest.param(lambda frame: pl.concat([frame, frame.head(1)]), "num_repeated_keys", id="repeated key"),
    ],
)
def test_one_impossible_sample_stops_the_day(
    spoil: Callable[[pl.LazyFrame], pl.LazyFrame], column: str, clean: DayFrames, judge: Judge
) -> None:
    assert critical(judge("samples", spoil(clean.samples))) == {(column, "1")}


def test_labels_of_two_cut_offs_or_of_one_before_the_end_of_the_day_stop_the_day(clean: DayFrames, judge: Judge) -> None:
    later = clean.samples.with_columns(pl.col("labelled_through") + timedelta(days=1))
    assert judge("samples", later) == []
    assert critical(judge("samples", pl.concat([clean.samples.head(50), later.tail(50)]))) == {("num_cut_offs", "2")}
    early = clean.samples.with_columns(pl.col("labelled_through") - timedelta(microseconds=1))
    assert critical(judge("samples", early)) == {("num_labelled_before_day_end", "100")}


def test_an_event_at_the_end_of_its_arrival_day_stops_the_day(clean: DayFrames, judge: Judge) -> None:
    just_before = clean.clicks.with_columns(pl.lit(END - timedelta(microseconds=1)).alias("clicked_at"))
    assert critical(judge("clicks", just_before)) == set()
    assert critical(judge("clicks", just_before.with_columns(pl.col("clicked_at") + timedelta(microseconds=1)))) == {
        ("num_after_day", "20")
    }


@pytest.mark.parametrize(("missing", "failed"), [(5, set()), (6, {("item_id_null_share", "0.06")})])
def test_a_required_column_may_lack_the_allowed_share_of_values(missing: int, failed: set[Any], clean: DayFrames, judge: Judge) -> None:
    gone = pl.int_range(pl.len()) < missing
    assert critical(judge("impressions", clean.impressions.with_columns(item_id=pl.when(~gone).then("item_id")))) == failed


@pytest.mark.parametrize(("table", "key"), [("samples", "impression_id"), ("impressions", "impression_id"), ("purchases", "order_id")])
def test_a_key_is_never_null(table: str, key: str, clean: DayFrames, judge: Judge) -> None:
    frame = getattr(clean, table).with_columns(pl.when(pl.int_range(pl.len()) > 0).then(key).alias(key))
    assert {column for column, _ in critical(judge(table, frame))} == {f"{key}_null_share"}


@pytest.mark.parametrize(
    ("clicks", "failed"),
    [(0, {("ctr", "0"), ("cvr", "null")}), (50, set()), (51, {("ctr", "0.51")})],
)
def test_the_click_rate_stays_in_its_band(clicks: int, failed: set[Any], clean: DayFrames, judge: Judge) -> None:
    clicked = pl.int_range(pl.len()) < clicks
    at = pl.when(clicked).then("exposed_at")
    bought = pl.int_range(pl.len()) < min(clicks, 5)
    outcomes = {"clicked": clicked, "clicked_at": at, "acted": pl.lit(value=False), "acted_at": pl.when(False).then("exposed_at")}
    conversions = {"converted": bought, "converted_at": pl.when(bought).then("exposed_at")}
    assert critical(judge("samples", clean.samples.with_columns(**outcomes, **conversions))) == failed


def test_a_day_without_conversions_leaves_the_band(clean: DayFrames, judge: Judge) -> None:
    none = clean.samples.with_columns(
        converted=pl.lit(value=False), converted_at=pl.lit(None, clean.samples.collect_schema()["converted_at"])
    )
    (failure,) = judge("samples", none)
    assert str(failure) == "samples: expect_column_values_to_be_between(cvr) expected 0.0005..0.95, found 0"


@pytest.mark.parametrize(("rows", "failed"), [(50, set()), (49, {("num_rows", "49")})])
def test_fewer_impressions_than_the_minimum_stop_the_day(rows: int, failed: set[Any], clean: DayFrames, judge: Judge) -> None:
    assert critical(judge("impressions", clean.impressions.head(rows))) == failed


def test_more_quarantined_rows_than_allowed_stop_the_day(clean: DayFrames, judge: Judge) -> None:
    assert judge("clicks", clean.clicks, quarantined_share=0.05) == []
    assert critical(judge("clicks", clean.clicks, quarantined_share=0.051)) == {("quarantined_share", "0.051")}


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda frame: frame.drop("night"), "night is missing, not Boolean"),
        (lambda frame: frame.with_columns(pl.col("clicked").cast(pl.Int8)), "clicked is Int8, not Boolean"),
        (lambda frame: frame.with_columns(pl.col("exposed_at").dt.replace_time_zone(None)), "exposed_at is Datetime"),
        (lambda frame: frame.with_columns(extra=1), "extra is unknown"),
    ],
)
def test_other_columns_or_types_than_declared_stop_the_day(
    spoil: Callable[[pl.LazyFrame], pl.LazyFrame], found: str, clean: DayFrames, judge: Judge
) -> None:
    (failure,) = judge("samples", spoil(clean.samples))
    assert (failure.severity, failure.column, failure.expected) == ("critical", "schema", "as declared")
    assert failure.found.startswith(found)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("batch", ["empty", "all null"])
def test_every_suite_fails_on_an_empty_and_on_an_all_null_batch(table: str, batch: str, clean: DayFrames, judge: Judge) -> None:
    schema = getattr(clean, table).collect_schema()
    rows = 0 if batch == "empty" else 200
    failures = judge(table, pl.LazyFrame({name: [None] * rows for name in schema}, schema=schema))
    severities = {(failure.severity, failure.table) for failure in failures}
    optional = table == "actions" and batch == "empty"
    assert (("warning" if optional else "critical"), table) in severities
