"""What each strategy trains on, from which parent and with whose labels: days written by hand, training only noted."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import torch

from components.checkpoints import Checkpoint
from components.errors import SettingsError
from components.experiment.calendar import Calendar
from components.experiment.strategies import DAILY, STRATEGIES, Course, find_strategies
from components.inputs import ONE_DAY, midnight
from components.settings import Labels as Windows
from components.settings import Settings, altered

FIRST, DAYS, WINDOW = date(2024, 5, 1), 6, 2


@dataclass
class Notes(Course):
    """Notes what would be trained on: each impression with whether it is known to have converted, and the parent's name."""

    calls: list[tuple[dict[str, bool], str | None]] = field(default_factory=list)

    def train(self, rows: pl.LazyFrame, parent: Checkpoint | None) -> Checkpoint:
        read = rows.select("impression_id", "converted").collect()
        assert read["impression_id"].is_unique().all()
        self.calls.append((dict(read.iter_rows()), parent.version if parent else None))
        return Checkpoint({}, {"table.accumulator": torch.ones(1)}, {"version": f"v{len(self.calls)}"})


@pytest.fixture
def course(tmp_path: Path) -> Notes:
    """Return six days of an impression at noon, `a1` of the first, and one in the holdout, `b1`: the conversion of the latter shows a day
    later, that of the former two.
    """
    settings = altered(Settings(), labels=Windows(click_window=timedelta(0), conversion_window=timedelta(days=WINDOW)))
    calendar = Calendar(tmp_path, FIRST, DAYS, settings)
    for number, day in enumerate(calendar.all_days, start=1):
        write_day(calendar.path(day), midnight(day), number)
    return Notes(calendar, settings, calendar.all_days[2])


def write_day(path: Path, begins: datetime, number: int) -> None:
    rows = {"impression_id": [f"a{number}", f"b{number}"], "exposed_at": [begins + timedelta(hours=12), begins + timedelta(hours=20)]}
    known = {f"{name}_{lag}": [lag > 1, lag > 0] for lag in range(WINDOW + 1) for name in ("clicked", "acted", "converted")}
    final = {f"final_{name}": [True, True] for name in ("clicked", "acted", "converted")}
    shares = {f"known_share_{lag}": [0.5 + lag / 4] * 2 for lag in range(WINDOW + 1)}
    pl.DataFrame({**rows, **known, **shares, **final}).with_columns(pl.col("exposed_at").cast(pl.Datetime("us", "UTC"))).write_parquet(path)


def served(course: Notes, name: str) -> list[str | None]:
    return [model.version if model else None for model in STRATEGIES[name].serve(course)]


def rows_of(number: int, *, mature: bool = False) -> dict[str, bool]:
    """Return what the run of a day reads, by its own labels or by those of a window later; the holdout of the day before is a day old."""
    return {**({f"b{number - 1}": True} if number > 1 else {}), f"a{number}": mature}


def test_the_daily_chain_trains_between_the_holdouts_on_labels_of_its_days(course: Notes):
    assert served(course, DAILY) == ["v1", "v2", "v3", "v4", "v5"]
    assert course.calls == [(rows_of(number), f"v{number - 1}" if number > 1 else None) for number in range(1, 6)]


def test_a_model_that_is_not_updated_is_the_first_that_is_asked_for(course: Notes):
    assert served(course, "never") == ["v1", "v2", "v3", "v3", "v3"]
    assert len(course.calls) == 3


def test_a_full_retrain_reads_all_days_with_the_labels_of_its_own(course: Notes):
    assert served(course, "retrain") == [None, None, "v1", "v2", "v3"]
    assert course.calls[0] == ({"a1": True, "b1": True, "a2": False, "b2": True, "a3": False}, None)
    later = {"a2": True, "a3": True, "b3": True, "a4": False, "b4": True, "a5": False}
    assert course.calls[2] == ({**course.calls[0][0], **later}, None)


def test_a_weekly_full_retrain_is_followed_by_its_children(course: Notes):
    assert served(course, "weekly") == ["v1", "v2", "v3", "v4", "v5"]
    assert [parent for _, parent in course.calls] == [None, "v1", None, "v3", "v4"]
    assert [len(rows) for rows, _ in course.calls] == [1, 2, 5, 2, 2]


def test_waiting_trains_on_rows_when_a_window_has_gone_by(course: Notes):
    assert served(course, "wait") == [None, None, "v1", "v2", "v3"]
    assert course.calls == [(rows_of(1, mature=True), None), (rows_of(2, mature=True), "v1"), (rows_of(3, mature=True), "v2")]


def test_two_tracks_serve_a_branch_of_the_mature_trunk_through_today(course: Notes):
    assert served(course, "two_tracks") == [None, None, "v3", "v6", "v9"]
    assert course.calls[3:6] == [(rows_of(2, mature=True), "v1"), (rows_of(3), "v4"), (rows_of(4), "v5")]
    assert course.calls[6] == (rows_of(3, mature=True), "v4")  # the trunk goes on from the trunk


def test_a_replay_adds_the_rows_of_before_whose_labels_have_changed(course: Notes):
    assert served(course, "replay") == ["v1", "v2", "v3", "v4", "v5"]
    assert course.calls[:2] == [(rows_of(1), None), (rows_of(2), "v1")]  # b1's has changed too, but it is trained on for the first time
    assert course.calls[2] == ({"a1": True, **rows_of(3)}, "v2")
    assert [list(rows) for rows, _ in course.calls[3:]] == [["a2", "b3", "a4"], ["a3", "b4", "a5"]]


def test_hindsight_reads_final_labels(course: Notes):
    rows = course.calendar.final(FIRST + ONE_DAY).select("impression_id", "converted", "known_share").collect()
    assert rows.rows() == [("b1", True, 1.0), ("a2", True, 1.0)]
    served(course, "hindsight")
    assert course.calls[4] == (rows_of(5, mature=True), "v4")


def test_fading_keeps_half_of_adagrads_sums(course: Notes):
    kept: list[float] = []

    class Seen(Notes):
        def train(self, rows: pl.LazyFrame, parent: Checkpoint | None) -> Checkpoint:
            kept.extend(parent.optimizer["table.accumulator"].tolist() if parent else [])
            return super().train(rows, parent)

    models: Iterator[Checkpoint | None] = STRATEGIES["fade"].serve(Seen(course.calendar, course.settings, course.served_from))
    assert len(list(models)) == 5
    assert kept == [0.5] * 4


def test_strategies_come_with_the_daily_chain_and_a_name_that_is_none_is_refused():
    assert find_strategies(["wait", "never"]) == [DAILY, "never", "wait"]
    with pytest.raises(SettingsError, match=r"expected strategies among daily, never, .*, found 'often'"):
        find_strategies(["often"])
