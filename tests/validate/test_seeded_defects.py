"""Defects as they happen to logs, each put into a simulated day and caught by a named expectation, against a clean week before it."""

import gzip
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components import steps
from components.inputs import open_lake, samples_as_of
from components.profile import EVENT_KEY, EVENT_TIME, Kind, load_profile
from components.records import Records
from components.settings import Settings
from components.simulate.world import simulate
from components.tables import EVENTS, QUARANTINE
from components.validate.suites import DayFrames, Validation, validate_day

DAY = date(2024, 5, 8)
YESTERDAY = DAY - timedelta(days=1)
MIDNIGHT = datetime(2024, 5, 8, tzinfo=UTC)
END = MIDNIGHT + timedelta(days=1)
Events = dict[Kind, pl.LazyFrame]


@dataclass(frozen=True)
class Week:
    """A home with eight ingested and labelled days, and the profiles of the first seven."""

    settings: Settings
    history: list[dict[str, Any]]

    def copy(self, folder: Path) -> "Week":
        """Return the same week at another place."""
        shutil.copytree(self.settings.root, folder)
        data = {"raw": str(folder / "raw"), "profile": str(folder / "raw" / "profile.toml")}
        return replace(self, settings=settings_of(folder, data))

    def frames(self, day: date = DAY) -> DayFrames:
        lake = open_lake(self.settings)
        events = {kind: lake.scan(table, day) for kind, table in EVENTS.items()}
        return DayFrames(samples=samples_as_of(day, day, self.settings), quarantine=lake.scan(QUARANTINE, day), **events)

    def validate(self, frames: DayFrames, day: date = DAY) -> Validation:
        accounting = [Records(self.settings.root).require(day, f"ingest-{kind}") for kind in EVENTS]
        return validate_day(frames, day=day, accounting=accounting, history=self.history, settings=self.settings)

    def relabel(self, spoil: Callable[[Events], Events]) -> DayFrames:
        """Put spoiled events into the lake, label the day again and return its tables."""
        lake = open_lake(self.settings)
        events = {kind: lake.scan(table, DAY).drop(table.partition) for kind, table in EVENTS.items()}
        for kind, frame in spoil(dict(events)).items():
            if frame is not events[kind]:
                lake.replace(EVENTS[kind], DAY, frame.sort(EVENT_TIME[kind], EVENT_KEY[kind], nulls_last=True).collect().lazy())
        steps.label(DAY, self.settings)
        return self.frames()


def settings_of(home: Path, data: dict[str, str]) -> Settings:
    return Settings.model_validate({**load_profile(Path(data["profile"])).settings, "home": str(home), "data": data})


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Week:
    home = tmp_path_factory.mktemp("week")
    simulate(home / "raw", start=DAY - timedelta(days=7), days=8, impressions_per_day=12_000, seed=11)
    made = Week(settings_of(home, {"raw": str(home / "raw"), "profile": str(home / "raw" / "profile.toml")}), [])
    for number in range(7, -1, -1):
        day = DAY - timedelta(days=number)
        steps.ingest(day, made.settings)
        steps.label(day, made.settings)
        if number:
            made.history.append(made.validate(made.frames(day), day).profile)
    return made


def test_the_clean_week_and_day_raise_nothing(week: Week) -> None:
    assert [profile["success"] for profile in week.history] == [True] * 7
    verdict = week.validate(week.frames())
    assert verdict.failures == []
    assert [line.split(":")[0] for line in verdict.profile["not_run"]] == ["purchases", "quarantine"]
    assert all("drift was not run" in line for line in verdict.profile["not_run"])


def where(condition: pl.Expr, **values: pl.Expr) -> list[pl.Expr]:
    """Return columns that take other values where the condition holds."""
    return [pl.when(condition).then(value).otherwise(pl.col(name)).alias(name) for name, value in values.items()]


def nth(share: float) -> pl.Expr:
    """Return a condition that holds for a share of the rows, spread over the frame."""
    return (pl.int_range(pl.len()) * share) % 1 >= 1 - share


def of(kind: Kind, *change: pl.Expr, **values: pl.Expr) -> Callable[[Events], Events]:
    """Change columns of one kind of event; what then lies after the day has not arrived yet."""
    return lambda events: {**events, kind: events[kind].with_columns(*change, **values).filter(pl.col(EVENT_TIME[kind]) < END)}


def keep(kind: Kind, condition: pl.Expr) -> Callable[[Events], Events]:
    return lambda events: {**events, kind: events[kind].filter(condition)}


def repeat_impressions(events: Events) -> Events:
    again = events["impressions"].filter(nth(0.5)).with_columns(pl.col("impression_id") + "-again")
    return {**events, "impressions": pl.concat([events["impressions"], again])}


def triple_clicks(events: Events) -> Events:
    unclicked = events["impressions"].join(events["clicks"], on="impression_id", how="anti").filter(nth(0.1))
    columns = events["clicks"].collect_schema().names()
    more = unclicked.with_columns(click_id=pl.col("impression_id") + "-c", clicked_at=pl.col("exposed_at") + timedelta(seconds=11))
    return {**events, "clicks": pl.concat([events["clicks"], more.filter(pl.col("clicked_at") < END).select(columns)])}


def shuffle_labels(events: Events) -> Events:
    """Let each click name the impression of another one."""
    return {**events, "clicks": events["clicks"].with_columns(pl.col("impression_id").shuffle(seed=1))}


scene, device, user, item = (pl.col(name) for name in ("scene", "device", "user_id", "item_id"))
shift = timedelta(hours=5)
OF_EVENTS = {
    "hour dropped": (keep("impressions", pl.col("exposed_at").dt.hour() != 13), "impressions", "num_missing_hours", "critical"),
    "impressions 5 h early": (of("impressions", pl.col("exposed_at") - shift), "impressions", "num_missing_hours", "critical"),
    "clicks 5 h late": (of("clicks", pl.col("clicked_at") + shift), "samples", "click_delay_median_ratio", "critical"),
    "purchases 5 h late": (of("purchases", pl.col("purchased_at") + shift), "samples", "conversion_delay_median_ratio", "critical"),
    "clicks before their exposure": (
        of("clicks", pl.col("clicked_at") - timedelta(minutes=5)),
        "clicks",
        "credited_share_ratio",
        "critical",
    ),
    "labels shuffled": (shuffle_labels, "samples", "click_delay_median_ratio", "critical"),
    "file doubled with new ids": (repeat_impressions, "impressions", "twin_share", "critical"),
    "purchases 30 % late": (of("purchases", *where(nth(0.3), purchased_at=pl.lit(MIDNIGHT - shift))), "purchases", "late_share", "warning"),
    "one user has half the traffic": (
        of("impressions", *where(nth(0.5), user_id=pl.lit("u1"))),
        "samples",
        "user_id_top_share",
        "critical",
    ),
    "ids truncated": (of("impressions", user.str.head(3)), "samples", "user_id_rows_each_ratio", "critical"),
    "ids written otherwise": (of("impressions", item_id="item:" + item), "samples", "item_id_coverage_ratio", "critical"),
    "ids missing": (of("impressions", *where(nth(0.1), user_id=pl.lit(None, pl.String))), "impressions", "user_id_null_share", "critical"),
    "user and item swapped": (
        of("impressions", user.alias("item_id"), item.alias("user_id")),
        "samples",
        "user_id_coverage_ratio",
        "critical",
    ),
    "two columns swapped": (of("impressions", scene.alias("device"), device.alias("scene")), "samples", "scene_psi_1d", "critical"),
    "column zero": (of("impressions", price=pl.lit(0.0)), "samples", "price_flattened", "critical"),
    "column constant": (of("impressions", device=pl.lit("phone")), "samples", "device_flattened", "critical"),
    "column null": (of("impressions", scene=pl.lit(None, pl.String)), "samples", "scene_null_rise", "warning"),
    "price in cents": (of("impressions", pl.col("price") * 100), "samples", "price_median_ratio", "critical"),
    "amounts in cents": (of("purchases", pl.col("amount") * 100), "purchases", "amount_median_ratio", "critical"),
    "amounts negative": (of("purchases", -pl.col("amount")), "purchases", "num_negative_amounts", "critical"),
    "positions from 0": (of("impressions", pl.col("position") - 1), "samples", "position_psi_7d", "warning"),
    "category renamed": (of("impressions", scene.replace("search", "Search")), "samples", "scene_new_share", "warning"),
    "clicks three times as many": (triple_clicks, "samples", "ctr_ratio", "critical"),
    "purchases a fifth": (keep("purchases", nth(0.2)), "samples", "cvr_ratio", "critical"),
    "clicks in their exposure's instant": (
        lambda events: {
            **events,
            "clicks": events["clicks"]
            .join(events["impressions"].select("impression_id", "exposed_at"), on="impression_id", how="left")
            .with_columns(pl.coalesce("exposed_at", "clicked_at").alias("clicked_at"))
            .drop("exposed_at"),
        },
        "samples",
        "click_zero_delay_share",
        "warning",
    ),
    "two thirds of the clicks lost": (keep("clicks", nth(0.3)), "clicks", "count_ratio", "warning"),
    "kind missing": (keep("purchases", pl.lit(value=False)), "purchases", "num_rows", "critical"),
}
OF_SAMPLES = {
    "label leaked into a column": ([pl.when("clicked").then(pl.lit("tv")).otherwise(device).alias("device")], "device_click_auc"),
    "label leaked into nulls": ([pl.when("clicked").then("price").alias("price")], "price_click_auc"),
    "delay negative": ([pl.col("clicked_at") - timedelta(minutes=5)], "num_clicks_before_exposure"),
    "conversions without their click": ([pl.lit(value=False).alias("clicked")], "num_conversions_without_click"),
    "label too early": ([pl.col("labelled_through") - timedelta(hours=1)], "num_labelled_before_day_end"),
}


def found(verdict: Validation) -> set[tuple[str, str, str]]:
    return {(failure.severity, failure.table, failure.column) for failure in verdict.failures}


@pytest.mark.parametrize("defect", OF_EVENTS)
def test_a_defect_of_the_events_is_caught(defect: str, week: Week, tmp_path: Path) -> None:
    spoil, table, measure, severity = OF_EVENTS[defect]
    copy = week.copy(tmp_path / "home")
    assert (severity, table, measure) in found(copy.validate(copy.relabel(spoil)))


@pytest.mark.parametrize("defect", OF_SAMPLES)
def test_a_defect_of_the_samples_is_caught(defect: str, week: Week) -> None:
    changes, measure = OF_SAMPLES[defect]
    frames = week.frames()
    assert ("critical", "samples", measure) in found(week.validate(replace(frames, samples=frames.samples.with_columns(changes))))


def test_repeated_keys_are_caught(week: Week) -> None:
    frames = week.frames()
    verdict = week.validate(replace(frames, samples=pl.concat([frames.samples, frames.samples.head(1)])))
    assert ("critical", "samples", "num_repeated_keys") in found(verdict)


def test_yesterdays_file_delivered_again_is_caught(week: Week, tmp_path: Path) -> None:
    copy = week.copy(tmp_path / "home")
    old = open_lake(copy.settings).scan(EVENTS["impressions"], YESTERDAY).drop("arrived_on")
    frames = copy.relabel(lambda events: {**events, "impressions": pl.concat([events["impressions"], old])})
    assert ("critical", "impressions", "late_share") in found(copy.validate(frames))


def test_a_file_delivered_twice_is_caught(week: Week, tmp_path: Path) -> None:
    copy = week.copy(tmp_path / "home")
    folder = copy.settings.raw / "impressions" / f"day={DAY}"
    first = sorted(folder.iterdir())[0]
    shutil.copy(first, folder / f"again-{first.name}")
    steps.ingest_kind(DAY, "impressions", copy.settings)
    assert ("warning", "impressions", "duplicate_rise") in found(copy.validate(copy.frames()))


def test_unreadable_rows_are_caught(week: Week, tmp_path: Path) -> None:
    copy = week.copy(tmp_path / "home")
    (path,) = (copy.settings.raw / "clicks" / f"day={DAY}").iterdir()
    lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    path.write_bytes(gzip.compress("".join(line[: -20 * (n % 9 == 0)] or line for n, line in enumerate(lines)).encode()))
    steps.ingest_kind(DAY, "clicks", copy.settings)
    assert ("critical", "clicks", "quarantined_share") in found(copy.validate(copy.frames()))
