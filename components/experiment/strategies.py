"""The ways to keep a model up to date: one table from a name to how the model that serves each day comes about.

A strategy goes through the runs of a calendar and yields, for each, the model that serves the day after it, or None where nobody asks.
No run reads labels that it could not have; hindsight alone does, as a ceiling.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import polars as pl

from components.checkpoints import Checkpoint
from components.errors import SettingsError
from components.experiment.calendar import Calendar
from components.settings import Settings
from components.train.loop import fine_tune

DAILY = "daily"
"""The pipeline's chain, which the others are compared with."""
_ACCUMULATOR = "table.accumulator"
_WEEK = 7


@dataclass
class Course:
    """What a strategy goes through, and what it has cost so far."""

    calendar: Calendar
    settings: Settings
    served_from: date
    """The first run whose model is asked for."""
    cpu_s: float = 0.0
    """Of training, all threads."""
    rows: int = 0

    @property
    def runs(self) -> Sequence[date]:
        """The days that are trained after: all but the last, ascending."""
        return self.calendar.all_days[:-1]

    def train(self, rows: pl.LazyFrame, parent: Checkpoint | None) -> Checkpoint:
        """Train on rows, and count."""
        begun = time.process_time()
        trained = fine_tune(rows, parent, profile=self.settings.profile, settings=self.settings)
        self.cpu_s += time.process_time() - begun
        self.rows += trained.manifest["rows"]
        return trained

    def train_run(self, run: date, parent: Checkpoint | None, *, known_by: date) -> Checkpoint:
        """Train on what one run of the pipeline reads, with the labels that a run of the same or a later day knows."""
        return self.train(self.calendar.trained_by(run, known_by=known_by), parent)

    def train_all(self, run: date) -> Checkpoint:
        """Start cold and train on what all runs through one have read, with the labels of that one."""
        return self.train(pl.concat(self.calendar.trained_by(each, known_by=run) for each in self.runs if each <= run), None)


Serve = Callable[[Course], Iterator[Checkpoint | None]]


def _train_daily(course: Course) -> Iterator[Checkpoint | None]:
    model = None
    for run in course.runs:
        model = course.train_run(run, model, known_by=run)
        yield model


def _train_no_more(course: Course) -> Iterator[Checkpoint | None]:
    """Serve the first model that is asked for ever after."""
    model = None
    for run in course.runs:
        model = course.train_run(run, model, known_by=run) if run <= course.served_from else model
        yield model


def _retrain(course: Course) -> Iterator[Checkpoint | None]:
    """Start anew on all days every day."""
    for run in course.runs:
        yield course.train_all(run) if run >= course.served_from else None


def _retrain_weekly(course: Course) -> Iterator[Checkpoint | None]:
    """Train daily, but start anew on all days with the first model that is asked for, and each week after it."""
    model = None
    for run in course.runs:
        since = (run - course.served_from).days
        due = since >= 0 and since % _WEEK == 0
        model = course.train_all(run) if due else course.train_run(run, model, known_by=run)
        yield model


def _fade(course: Course) -> Iterator[Checkpoint | None]:
    """Train daily, and let old rows of the tables learn faster again: keep half of Adagrad's sums from day to day."""
    model = None
    for run in course.runs:
        model = course.train_run(run, model and _faded(model), known_by=run)
        yield model


def _faded(model: Checkpoint) -> Checkpoint:
    return replace(model, optimizer={**model.optimizer, _ACCUMULATOR: model.optimizer[_ACCUMULATOR] / 2})


def _wait(course: Course) -> Iterator[Checkpoint | None]:
    """Train on a run's rows once their labels are final."""
    model = None
    for place, run in enumerate(course.runs):
        model = _next_mature(course, place, run, model)
        yield model


def _branch(course: Course) -> Iterator[Checkpoint | None]:
    """Advance a trunk as `_wait` does, and serve a branch of it that has trained on all younger rows as they are known by now."""
    trunk = None
    for place, run in enumerate(course.runs):
        trunk = served = _next_mature(course, place, run, trunk)
        young = course.runs[max(0, place - course.calendar.window + 1) : place + 1] if run >= course.served_from else []
        for each in young:
            served = course.train_run(each, served, known_by=run)
        yield served


def _next_mature(course: Course, place: int, run: date, model: Checkpoint | None) -> Checkpoint | None:
    mature = place - course.calendar.window
    return course.train_run(course.runs[mature], model, known_by=run) if mature >= 0 else model


def _replay(course: Course) -> Iterator[Checkpoint | None]:
    """Train daily, and again on those rows of before whose labels have changed since."""
    model = None
    for run in course.runs:
        rows = course.calendar.trained_by(run, known_by=run)
        model = course.train(pl.concat([course.calendar.changed(run), rows]) if model else rows, model)
        yield model


def _foresee(course: Course) -> Iterator[Checkpoint | None]:
    """Train daily on final labels."""
    model = None
    for run in course.runs:
        model = course.train(course.calendar.final(run), model)
        yield model


@dataclass(frozen=True)
class Strategy:
    """One way, judged like all others."""

    title: str
    serve: Serve
    model: Mapping[str, Any] = field(default_factory=dict)
    """Keys of `[model]` over those of the settings."""


_CORRECTED = {"age_corrected": True}
STRATEGIES: Mapping[str, Strategy] = {
    DAILY: Strategy("Daily chain", _train_daily),
    "never": Strategy("Not updated", _train_no_more),
    "retrain": Strategy("Full retrain every day", _retrain),
    "weekly": Strategy("Daily, full retrain weekly", _retrain_weekly),
    "fade": Strategy("Daily, Adagrad's sums halved", _fade),
    "wait": Strategy("Wait for final labels", _wait),
    "corrected": Strategy("Daily, age-corrected", _train_daily, _CORRECTED),
    "replay": Strategy("Daily, changed labels replayed", _replay),
    "two_tracks": Strategy("Two tracks", _branch),
    "two_tracks_corrected": Strategy("Two tracks, age-corrected", _branch, _CORRECTED),
    "hindsight": Strategy("Daily on final labels", _foresee),
}


def find_strategies(names: Sequence[str]) -> list[str]:
    """Return the strategies of these names, and the daily chain, in the table's order; raises SettingsError for any other name."""
    if unknown := [name for name in names if name not in STRATEGIES]:
        raise SettingsError(f"experiment: expected strategies among {', '.join(STRATEGIES)}, found {unknown[0]!r}; choose some of them")
    return [name for name in STRATEGIES if name in {DAILY, *names}]
