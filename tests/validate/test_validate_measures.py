"""The profile is exact, whatever the order of the rows; the sample is fixed, bounded and spread; PSI is the formula."""

import math
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from components.settings import Settings
from components.validate.drift import compare, count_labels, stability_index, to_histograms
from components.validate.measures import measure
from components.validate.subjects import Subject, describe_subjects
from components.validate.suites import DayFrames


def spoiled(samples: pl.LazyFrame) -> pl.LazyFrame:
    """Some nulls, a repeated key and two clicks before their exposure."""
    number = pl.int_range(pl.len())
    holes = samples.with_columns(
        user_id=pl.when(number % 10 != 0).then("user_id"),
        clicked=pl.when(number != 40).then("clicked"),
        clicked_at=pl.when(number < 2).then(pl.col("exposed_at") - timedelta(seconds=1)).otherwise("clicked_at"),
    )
    return pl.concat([holes, holes.tail(1)])


def test_the_profile_equals_a_plain_count(clean: DayFrames, subjects: dict[str, Subject]) -> None:
    frame = spoiled(clean.samples)
    found = measure(frame, subjects["samples"], sample_rows=10).measures
    rows = frame.collect().to_dicts()
    labels = [row["clicked"] for row in rows if row["clicked"] is not None]
    clicked = [row for row in rows if row["clicked"]]
    assert found["num_rows"] == len(rows) == 101
    assert found["num_repeated_keys"] == len(rows) - len({row["impression_id"] for row in rows}) == 1
    assert found["user_id_null_share"] == sum(row["user_id"] is None for row in rows) / len(rows)
    assert found["ctr"] == sum(labels) / len(labels)
    assert found["cvr"] == sum(row["converted"] for row in clicked) / len(clicked)
    early = [row for row in rows if row["clicked_at"] and row["clicked_at"] < row["exposed_at"]]
    assert found["num_clicks_before_exposure"] == len(early) == 2


def test_the_order_of_the_rows_does_not_matter(clean: DayFrames, subjects: dict[str, Subject]) -> None:
    frame = spoiled(clean.samples).collect()
    first = measure(frame.lazy(), subjects["samples"], sample_rows=10)
    for order in (frame.reverse(), frame.sample(fraction=1, shuffle=True, seed=3)):
        again = measure(order.lazy(), subjects["samples"], sample_rows=10)
        assert again.measures == first.measures
        assert again.histograms == first.histograms
        assert_frame_equal(again.rows, first.rows)


def test_the_sample_is_bounded_and_spread_over_the_day(clean: DayFrames, subjects: dict[str, Subject]) -> None:
    rows = measure(clean.samples, subjects["samples"], sample_rows=24).rows
    assert rows.height == 24
    quarters = Counter(at.hour // 6 for at in rows["exposed_at"])
    assert sorted(quarters) == [0, 1, 2, 3]
    assert max(quarters.values()) <= 8


def test_rows_with_a_defect_are_shown_beside_the_sample(clean: DayFrames, subjects: dict[str, Subject]) -> None:
    shown = measure(spoiled(clean.samples), subjects["samples"], sample_rows=1).rows
    early = shown.filter(pl.col("clicked_at") < pl.col("exposed_at"))
    repeated = shown.filter(pl.col("impression_id") == "i99")
    assert (early.height, repeated.height) == (2, 2)


def test_a_profile_without_users_asks_for_none(settings: Settings, tmp_path: Path) -> None:
    text = Path(settings.data.profile).read_text().replace('user_id = "u", ', "")
    path = tmp_path / "profile.toml"
    path.write_text(text)
    bare = Settings.model_validate({"data": {"profile": str(path)}})
    assert not any("user_id" in subject.required for subject in describe_subjects(date(2024, 5, 1), bare))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["a", "b", "a", None], [(None, 0.25), ("a", 0.5), ("b", 0.25)]),
        ([True, False, True, True], [("false", 0.25), ("true", 0.75)]),
        ([0, 1, 3, -1], [("-4", 0.25), ("0", 0.25), ("4", 0.25), ("8", 0.25)]),
        ([0.0, 1.0, float("nan"), None], [(None, 0.5), ("0", 0.25), ("4", 0.25)]),
    ],
)
def test_values_become_labels_that_days_share(values: list[object], labels: list[tuple[str | None, float]]) -> None:
    assert to_histograms(count_labels(pl.LazyFrame({"x": values}), ["x"]).collect())["x"] == labels


def test_labels_of_less_than_half_a_percent_are_not_kept() -> None:
    values = ["rare"] * 4 + ["kept"] * 5 + ["often"] * 991
    assert to_histograms(count_labels(pl.LazyFrame({"x": values}), ["x"]).collect())["x"] == [("kept", 0.005), ("often", 0.991)]


def test_a_column_of_rare_labels_is_told_from_one_that_became_common() -> None:
    ids = [str(number) for number in range(1000)]
    rare, common = (to_histograms(count_labels(pl.LazyFrame({"x": values}), ["x"]).collect()) for values in (ids, ["one"] * 1000))
    assert rare == {"x": []}
    before = [{"measures": {"num_rows": 1000}, "histograms": rare}]
    assert compare(1000, rare, before, columns=["x"]) == ({"count_ratio": 1.0, "x_psi": 0.0}, [])
    assert compare(1000, common, before, columns=["x"])[0]["x_psi"] > 1


def test_the_stability_index_is_the_formula_over_the_mean_of_the_days() -> None:
    before = [[("a", 0.5), ("b", 0.5)], [("a", 0.7), ("b", 0.3)]]
    expected = (0.2 - 0.6) * math.log(0.2 / 0.6) + (0.8 - 0.4) * math.log(0.8 / 0.4)
    assert stability_index([("a", 0.2), ("b", 0.8)], before) == pytest.approx(expected)
    assert stability_index(before[0], before[:1]) == 0


def test_a_new_value_counts_against_the_floor_and_small_ones_are_pooled() -> None:
    expected = (0.3 - 0.001) * math.log(0.3 / 0.001) + (0.7 - 1) * math.log(0.7 / 1)
    assert stability_index([("a", 0.7), ("new", 0.3)], [[("a", 1.0)]]) == pytest.approx(expected)
    many = [(f"s{number}", 0.009) for number in range(100)]
    others = [(f"t{number}", 0.009) for number in range(100)]
    assert stability_index(many, [others]) == 0


def test_what_cannot_be_compared_is_named() -> None:
    before = [{"measures": {"num_rows": 0}, "histograms": {"x": [("a", 1.0)]}}]
    found, missing = compare(10, {"y": [("a", 1.0)]}, before, columns=["x", "y"])
    assert found == {}
    assert [line.split()[0] for line in missing] == ["count_ratio", "x_psi", "y_psi"]
