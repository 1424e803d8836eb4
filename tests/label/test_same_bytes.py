"""The same events give the same bytes, whenever, how often and in whatever order they come; what comes after the cut-off moves none."""

import os
import random
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.errors import DataError
from components.label.events import Labelling
from components.label.samples import label_samples
from components.lake import Lake
from components.profile import Profile
from components.settings import Labels
from components.tables import EVENTS, SAMPLES
from tests.label import logs as made
from tests.label.generated import ONE_DAY, Row, Rows, change, make_case, once, pool
from tests.label.logs import DAY, END, SCHEMAS, deliver, serialise

CASES, ROUNDS = 100, 10
WINDOWS = Labels(click_window=timedelta(hours=1), conversion_window=timedelta(hours=2))
THROUGH = END + 2 * ONE_DAY
ARRIVALS = [DAY, DAY + ONE_DAY, DAY + 2 * ONE_DAY]
FILE_ROWS = 150
SOURCE = {"columns": {"item_id": "item_id", "impression_id": "impression_id"}}


def label(cases: list[Rows]) -> list[bytes]:
    slices = made.label(pool(cases), WINDOWS, through=THROUGH, file_rows=FILE_ROWS)
    assert len(slices) > 1
    assert sum(piece["converted"].sum() for piece in slices) > 10
    return serialise(slices)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_any_delivery_gives_the_same_bytes(number: int) -> None:
    """A hundred cases a round: every row up to five times, on any of three arrival days, in any order."""
    draw = random.Random(number)
    cases = once([make_case(seed) for seed in range(number * CASES, (number + 1) * CASES)])
    punctual = label(change(cases, lambda _, row: [{**row, "arrived_on": DAY}]))
    again = change(cases, lambda _, row: [{**row, "arrived_on": draw.choice(ARRIVALS)} for _ in range(draw.randint(1, 5))])
    shuffled = [{kind: draw.sample(rows, len(rows)) for kind, rows in case.items()} for case in draw.sample(again, CASES)]
    assert label(shuffled) == punctual


@pytest.mark.parametrize("number", range(ROUNDS))
def test_events_after_the_cut_off_move_no_byte(number: int) -> None:
    """A hundred cases a round: rows that arrive, or happen, after the cut-off come, go and take the keys of others."""
    draw = random.Random(number)
    cases = [make_case(seed) for seed in range(number * CASES, (number + 1) * CASES)]

    def disturb(kind: str, row: Row) -> list[Row]:
        at = next(name for name in SCHEMAS[kind] if name.endswith("_at"))
        arrives_late = {**row, "arrived_on": THROUGH.date() + draw.choice([0, 1, 9]) * ONE_DAY}
        happens_late = {**row, at: THROUGH + draw.choice([0, 1, 10**9]) * timedelta(microseconds=1)}
        return draw.choice([[row], [row, arrives_late], [arrives_late, row], [row, arrives_late, arrives_late]]) + (
            [{**happens_late, "arrived_on": THROUGH.date() - ONE_DAY}] if draw.random() < 0.5 else []
        )

    assert label(change(cases, disturb)) == label(cases)


def test_impression_that_arrives_late_is_labelled_by_a_later_cut_off() -> None:
    cases = change(once([make_case(seed) for seed in range(CASES)]), lambda _, row: [{**row, "arrived_on": DAY + ONE_DAY}])
    assert made.label(pool(cases), WINDOWS, through=END) == []
    assert label(cases) == label(change(cases, lambda _, row: [{**row, "arrived_on": DAY}]))


def make_logs(seed: int) -> dict[str, pl.LazyFrame]:
    """Return the logs of 500 cases."""
    return pool([make_case(seed * 500 + number) for number in range(500)])


def write_lake(folder: Path) -> Lake:
    """Write the logs into a lake whose impressions have the test's context column."""
    stamps = {"impressions": "exposed_at", "clicks": "clicked_at", "purchases": "purchased_at"}
    sources: dict[str, Any] = {kind: {"columns": {**SOURCE["columns"], at: "t"}} for kind, at in stamps.items()}
    sources["impressions"]["context"] = {"scene": "string"}
    sources["purchases"]["columns"]["order_id"] = "o"
    lake = Lake(str(folder / "lake"), Profile.model_validate({"name": "tiny", "fields": [], **sources}))
    for kind, rows in make_logs(7).items():
        for day, arrived in deliver(kind, rows).items():
            lake.replace(EVENTS[kind], day, arrived.drop("arrived_on"))  # type: ignore[index]
    return lake


def label_in_lake(lake: Lake) -> str:
    """Label the day into the lake; return its fingerprint."""
    logs = {kind: {day: lake.scan(table, day) for day in ARRIVALS} for kind, table in EVENTS.items()}
    with tempfile.TemporaryDirectory() as scratch:
        lake.replace(SAMPLES, DAY, label_samples(logs, Labelling(DAY, THROUGH, WINDOWS), file_rows=1000, scratch=Path(scratch)))
    return lake.fingerprint(SAMPLES, DAY)


def test_zone_and_number_of_threads_move_no_byte(tmp_path: Path) -> None:
    lake = write_lake(tmp_path)
    expected = label_in_lake(lake)
    environments = [("1", "UTC"), ("2", "America/New_York"), ("4", "Asia/Kolkata"), ("2", "Australia/Lord_Howe")]
    for threads, zone in environments:
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "TZ": zone}
        command = [sys.executable, "-m", "tests.label.test_same_bytes", str(tmp_path / zone.replace("/", "-"))]
        found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
        assert found.stdout.split() == [threads, expected]


def test_day_is_never_collected(tmp_path: Path) -> None:
    """Only small frames are in memory when the samples are read: no step falls back to the in-memory engine."""
    lake = write_lake(tmp_path)
    logs = {kind: {DAY: lake.scan(table, DAY)} for kind, table in EVENTS.items()}
    samples = label_samples(logs, Labelling(DAY, END, WINDOWS), file_rows=1000, scratch=tmp_path / "scratch")
    plans = [piece.rows.show_graph(plan_stage="physical", engine="streaming", raw_output=True, show=False) for piece in samples]
    assert len(plans) > 1
    for plan in plans:
        assert plan is not None
        assert "multi-scan[parquet]" in plan
        assert not [name for name in ("sort", "in-memory-join", "in-memory-map", "multiplexer") if name in plan], plan


def test_impressions_in_another_order_than_the_lake_keeps_are_refused(tmp_path: Path) -> None:
    shuffled = {DAY: pl.concat(deliver("impressions", make_logs(7)["impressions"]).values()).reverse()}
    logs = {**{kind: deliver(kind, rows) for kind, rows in make_logs(7).items()}, "impressions": shuffled}
    with pytest.raises(DataError, match="arrived on 2024-05-01: expected them in the order of exposed_at, found others; rerun ingest"):
        next(label_samples(logs, Labelling(DAY, END, WINDOWS), file_rows=1000, scratch=tmp_path))  # type: ignore[arg-type]


if __name__ == "__main__":
    print(pl.thread_pool_size(), label_in_lake(write_lake(Path(sys.argv[1]))))  # noqa: T201
