"""Days of logs as experiments read them: the rows of each day once, with the labels that every later run of the pipeline has of them.

`day=D.parquet` has a row per impression of D, in time order: its features, `clicked_L`, `acted_L`, `converted_L` and `known_share_L` as of
the end of the L-th day after D, and `final_*`, which in a simulated world are the truth's, with `converts_if_clicked`.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
import polars.selectors as cs

from components.experiment.worlds import LABELS, STEPS, Size, run_steps, simulate_days, told, world_settings
from components.inputs import ONE_DAY, assembled, days_in_window, holdout_start, midnight, samples_as_of
from components.model.losses.loss import KNOWN_SHARE
from components.records import Records, write_text
from components.settings import Data, Settings, altered
from components.train.delay import estimate_delays

_FACTS = "calendar.json"
"""Written last: where it is, the days are whole."""
_YOUNG = (*LABELS, KNOWN_SHARE)
_TOLD = ("converts_if_clicked", *(f"final_{name}" for name in LABELS))


@dataclass(frozen=True)
class Logs:
    """Consecutive days of the settings' own logs instead of a world. The days of a window after the last mature its labels."""

    name: str
    first: date
    days: int

    @property
    def key(self) -> str:
        """Name of its folder."""
        return f"{self.name}-{self.first}x{self.days}"


@dataclass(frozen=True)
class Calendar:
    """The rows of consecutive days under a folder. A run is named by its day, like the pipeline's, and judged on the next."""

    folder: Path
    first: date
    days: int
    settings: Settings
    """Those of the logs: windows, holdout, profile."""

    @property
    def all_days(self) -> Sequence[date]:
        """The days, ascending."""
        return [self.first + number * ONE_DAY for number in range(self.days)]

    @property
    def window(self) -> int:
        """How many days after a run all labels of its rows are final."""
        return len(days_in_window(self.first, self.settings))

    def path(self, day: date) -> Path:
        """Return the file of a day."""
        return self.folder / f"day={day}.parquet"

    def known(self, day: date, run: date) -> pl.LazyFrame:
        """Read a day with the labels and `known_share` that the run of the same or a later day has of it."""
        return _as_of(pl.scan_parquet(self.path(day)), min((run - day).days, self.window))

    def trained_by(self, run: date, *, known_by: date) -> pl.LazyFrame:
        """Read the rows that a run trains on, those between the holdouts, as the run of the same or a later day knows them."""
        today = self.known(run, known_by).filter(pl.col("exposed_at") < holdout_start(run, self.settings))
        if run == self.first:
            return today
        eve = run - ONE_DAY
        return pl.concat([self.known(eve, known_by).filter(pl.col("exposed_at") >= holdout_start(eve, self.settings)), today])

    def final(self, run: date) -> pl.LazyFrame:
        """Read the rows that a run trains on with their final labels, which it could not know."""
        final = {name: pl.col(f"final_{name}") for name in LABELS}
        return self.trained_by(run, known_by=run).with_columns(**final, **{KNOWN_SHARE: pl.lit(1.0)})

    def changed(self, run: date) -> pl.LazyFrame:
        """Read the rows, trained on before, of which a run knows a click or a conversion that the run of the day before did not know."""
        end = holdout_start(run - ONE_DAY, self.settings)
        days = [day for day in days_in_window(run, self.settings) if day >= self.first]
        return pl.concat(self._changed(day, (run - day).days) for day in days).filter(pl.col("exposed_at") < end)

    def _changed(self, day: date, lag: int) -> pl.LazyFrame:
        news = (pl.col(f"{name}_{lag}") & ~pl.col(f"{name}_{lag - 1}") for name in ("clicked", "converted"))
        return _as_of(pl.scan_parquet(self.path(day)).filter(pl.any_horizontal(*news)), lag)


def _as_of(rows: pl.LazyFrame, lag: int) -> pl.LazyFrame:
    """Return rows as they are kept with the labels of one lag alone."""
    return rows.with_columns(**{name: pl.col(f"{name}_{lag}") for name in _YOUNG}).drop(cs.matches(r"_\d+$"))


def make_calendar(source: Size | Logs, folder: Path, settings: Settings, progress: Callable[[str], None]) -> Calendar:
    """Take days through the pipeline's steps and write their rows, unless they are there already; returns where.

    progress: called with the name of each part that is done, `parts_of` times.
    """
    if (folder / _FACTS).exists():
        return _open(source, folder, settings)
    shutil.rmtree(folder, ignore_errors=True)  # what a killed run left
    if isinstance(source, Size):
        simulate_days(source, folder)
        progress("simulate")
    calendar = _open(source, folder, settings)
    ran = [source.first + number * ONE_DAY for number in range(_days_to_run(source, settings))]
    run_steps(ran, calendar.settings, progress)
    for day in calendar.all_days:
        _written(day, ran[-1], calendar).sink_parquet(calendar.path(day))
        progress(f"rows {day}")
    write_text(folder / _FACTS, json.dumps({"key": source.key}) + "\n")
    return calendar


def _open(source: Size | Logs, folder: Path, settings: Settings) -> Calendar:
    own = world_settings(folder, settings) if isinstance(source, Size) else _own(folder, settings)
    return Calendar(folder, source.first, source.days, own)


def parts_of(source: Size | Logs, settings: Settings) -> int:
    """Return how many parts the making of a calendar has."""
    return isinstance(source, Size) + _days_to_run(source, settings) * len(STEPS) + source.days


def _days_to_run(source: Size | Logs, settings: Settings) -> int:
    return source.days + (0 if isinstance(source, Size) else len(days_in_window(source.first, settings)))


def _own(folder: Path, settings: Settings) -> Settings:
    """Return the settings with a home of the experiment's own."""
    data, lake = Data(raw=str(settings.raw), profile=str(settings.profile_path)), settings.lake.model_copy(update={"uri": ""})
    return altered(settings, home=folder / "home", data=data, lake=lake)


def _written(day: date, last: date, calendar: Calendar) -> pl.LazyFrame:
    """Return the rows of a day as they are kept; what becomes known after the `last` run is not in them."""
    rows = assembled(day, calendar.settings, first=midnight(day), end=midnight(day + ONE_DAY)).drop(LABELS)
    lags = range(min(calendar.window, (last - day).days) + 1)
    for lag in lags:
        rows = rows.join(_labels(day, lag, calendar.settings), on="impression_id", validate="1:1", maintain_order="left")
    truth = calendar.folder / "truth" / f"day={day}"
    if truth.exists():
        final = told(pl.scan_parquet(truth / "*.parquet")).select("impression_id", *_TOLD)
        return rows.join(final, on="impression_id", validate="1:1", maintain_order="left")
    return rows.with_columns(**{f"final_{name}": pl.col(f"{name}_{lags[-1]}") for name in LABELS})


def _labels(day: date, lag: int, settings: Settings) -> pl.LazyFrame:
    """Read the labels of a day, and the share of the conversions that they show, as the run `lag` days later has them."""
    run = day + lag * ONE_DAY
    relabelled = Records(settings.root).require(run, "relabel")
    delays = estimate_delays(relabelled["days"], click_window=settings.labels.click_window)
    columns = (*(pl.col(name) for name in LABELS), delays.known_share())
    return samples_as_of(run, day, settings).select("impression_id", *(column.name.suffix(f"_{lag}") for column in columns))
