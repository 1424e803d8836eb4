"""A literal day of a small shop, and shortcuts to judge it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from components.profile import KINDS
from components.settings import Settings
from components.tables import EVENTS, QUARANTINE, SAMPLES
from components.validate.bands import draw_bands
from components.validate.failures import Failure
from components.validate.measures import measure
from components.validate.subjects import Subject, describe_subjects
from components.validate.suites import DayFrames, Validation, validate_day
from components.validate.verdicts import judge as judge_measures

DAY = date(2024, 5, 1)
MIDNIGHT = datetime(2024, 5, 1, tzinfo=UTC)
PROFILE = """
name = "shop"
category = "cat"
[impressions]
columns = { impression_id = "i", user_id = "u", item_id = "t", exposed_at = "e", position = "p" }
context = { cat = "string", price = "float", night = "boolean" }
[clicks]
columns = { click_id = "c", impression_id = "i", user_id = "u", item_id = "t", clicked_at = "e" }
[actions]
columns = { action_id = "a", user_id = "u", item_id = "t", acted_at = "e" }
[purchases]
columns = { order_id = "o", user_id = "u", item_id = "t", purchased_at = "e", amount = "m" }
[[fields]]
name = "item_id"
kind = "id"
"""
NUM_IMPRESSIONS, NUM_CLICKS, NUM_ACTIONS, NUM_CONVERSIONS = 100, 20, 8, 5


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    path = tmp_path_factory.mktemp("profile") / "profile.toml"
    path.write_text(PROFILE)
    return Settings.model_validate(
        {
            "home": str(path.parent),
            "data": {"profile": str(path)},
            "validation": {"min_impressions": 50, "min_outcomes": 2, "min_drift_rows": 50},
        }
    )


@pytest.fixture(scope="session")
def clean(settings: Settings) -> DayFrames:
    """A clean day: 100 impressions, 20 clicked, 8 of these acted on, 5 converted."""
    profile = settings.profile
    numbers = range(NUM_IMPRESSIONS)
    exposed = [MIDNIGHT + timedelta(minutes=14 * number) for number in numbers]
    base: dict[str, list[Any]] = {
        "impression_id": [f"i{number}" for number in numbers],
        "user_id": [f"u{number % 7}" for number in numbers],
        "item_id": [f"t{number % 11}" for number in numbers],
        "exposed_at": exposed,
        "position": [number % 5 for number in numbers],
        "cat": [("red", "green", "blue", None)[number % 4] for number in numbers],
        "price": [float(number % 3) for number in numbers],
        "night": [number % 2 == 0 for number in numbers],
    }

    def after(first: int, minutes: int) -> list[datetime | None]:
        return [exposed[number] + timedelta(minutes=minutes) if number < first else None for number in numbers]

    samples = {
        **base,
        "clicked": [number < NUM_CLICKS for number in numbers],
        "clicked_at": after(NUM_CLICKS, 1),
        "acted": [number < NUM_ACTIONS for number in numbers],
        "acted_at": after(NUM_ACTIONS, 1),
        "converted": [number < NUM_CONVERSIONS for number in numbers],
        "converted_at": after(NUM_CONVERSIONS, 2),
        "labelled_through": [MIDNIGHT + timedelta(days=1)] * NUM_IMPRESSIONS,
        "matures_at": [at + timedelta(days=8) for at in exposed],
    }
    events = {
        kind: {
            key: [f"{kind}{number}" for number in range(count)],
            "impression_id": [f"i{number}" for number in range(count)] if kind == "clicks" else [None] * count,
            "user_id": base["user_id"][:count],
            "item_id": base["item_id"][:count],
            at: exposed[:count],
        }
        for kind, key, at, count in (
            ("clicks", "click_id", "clicked_at", NUM_CLICKS),
            ("actions", "action_id", "acted_at", NUM_ACTIONS),
            ("purchases", "order_id", "purchased_at", NUM_CONVERSIONS),
        )
    }
    events["purchases"]["amount"] = [9.5] * NUM_CONVERSIONS
    columns = {kind: EVENTS[kind].columns(profile) for kind in KINDS}
    return DayFrames(
        samples=pl.LazyFrame(samples, schema=SAMPLES.columns(profile)).with_columns(day=DAY),
        impressions=pl.LazyFrame(base, schema=columns["impressions"]).with_columns(arrived_on=DAY),
        clicks=pl.LazyFrame(events["clicks"], schema=columns["clicks"]),
        actions=pl.LazyFrame(events["actions"], schema=columns["actions"]),
        purchases=pl.LazyFrame(events["purchases"], schema=columns["purchases"]),
        quarantine=kept_out(4 * (10 + 4), settings),
    )


def kept_out(rows: int, settings: Settings) -> pl.LazyFrame:
    """Return that many rows of the quarantine."""
    numbers = range(rows)
    values = {"file": ["part-0"] * rows, "row": numbers, "reason": ["clicked_at: missing"] * rows, "raw": ["{}"] * rows}
    return pl.LazyFrame(values, schema=QUARANTINE.columns(settings.profile)).with_columns(kind=pl.lit("clicks"), arrived_on=DAY)


@pytest.fixture(scope="session")
def accounting() -> list[dict[str, Any]]:
    """1,000 raw rows of each kind, 10 of them duplicates and 10 unreadable."""
    counts = {"rows_in": 1000, "accepted": 980, "exact_duplicates": 6, "conflicting_duplicates": 4, "quarantined": 10}
    return [{"kind": kind, **counts} for kind in KINDS]


@pytest.fixture(scope="session")
def subjects(settings: Settings) -> dict[str, Subject]:
    return {subject.name: subject for subject in describe_subjects(DAY, settings)}


@pytest.fixture
def judge(settings: Settings, subjects: dict[str, Subject]) -> Callable[..., list[Failure]]:
    """Judge one table of the day."""

    def run(table: str, frame: pl.LazyFrame, **measures: Any) -> list[Failure]:
        intake = {} if table == "samples" else {"num_rows_in": 1000, "quarantined_share": 0.0, "duplicate_share": 0.0}
        measured = measure(frame, subjects[table], settings.validation)
        if measured.readable:
            measured.measures.update({**intake, **measures})
        return list(judge_measures(table, draw_bands(subjects[table], measured.measures, settings.validation), measured.measures))

    return run


@pytest.fixture
def validate(settings: Settings, clean: DayFrames, accounting: list[dict[str, Any]]) -> Callable[..., Validation]:
    """Validate the clean day, with some of its tables or other inputs replaced."""

    def run(
        *,
        history: list[dict[str, Any]] | None = None,
        settings: Settings = settings,
        accounting: list[dict[str, Any]] = accounting,
        **tables: Any,
    ) -> Validation:
        return validate_day(replace(clean, **tables), day=DAY, accounting=accounting, history=history or [], settings=settings)

    return run
