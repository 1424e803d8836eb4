"""A world's rows: simulated once, taken through the pipeline's own steps, joined with the truth, kept as three Parquet files.

Features are those of production: what the day before knew. Labels come twice: `clicked`, `acted`, `converted` as the run that trains on
the row has them, young, with `known_share`; and `final_*`, the truth's, when every event has been seen.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from components.inputs import ONE_DAY, assembled, holdout_start, midnight, open_lake
from components.profile import load_profile
from components.records import Records, write_text
from components.settings import Data, Labels, Settings, altered
from components.tables import FEATURES
from components.train.delay import estimate_delays
from components.validation_settings import Validation

START = date(2024, 5, 1)
LABELS = ("clicked", "acted", "converted")
TRUTHS = ("pctr", "pctr_examined", "pcvr", "pcvr_clicked")
"""Probabilities of the truth, `true_*` in the rows."""
_OUTCOMES = ("relevant", "converts_if_clicked")
STEPS = ("ingest", "label", "validate", "relabel", "aggregate")
"""What a day goes through before it is trained on."""


@dataclass(frozen=True)
class Size:
    """Which world, and how much of it. The last day is the test."""

    world: str
    impressions_per_day: int
    days: int
    seed: int

    @property
    def key(self) -> str:
        """Name of its folder."""
        return f"{self.world}-{self.impressions_per_day}x{self.days}-{self.seed}"

    @property
    def first(self) -> date:
        """The first day of every world."""
        return START

    @property
    def last(self) -> date:
        """The test day."""
        return START + (self.days - 1) * ONE_DAY


@dataclass(frozen=True)
class Rows:
    """The rows of a world, each file one row per impression_id with all columns that a model may read."""

    folder: Path

    @property
    def train(self) -> Path:
        """All days but the last, in time order."""
        return self.folder / "train.parquet"

    @property
    def test(self) -> Path:
        """The last day, in time order."""
        return self.folder / "test.parquet"

    @property
    def pairs(self) -> Path:
        """Users and items of the last day, any with any: no labels, no position, `true_*` but for pctr."""
        return self.folder / "pairs.parquet"

    @property
    def facts(self) -> Path:
        """Counts; written last."""
        return self.folder / "world.json"


def world_settings(folder: Path, settings: Settings) -> Settings:
    """Return the settings with a home and logs in a world's folder, and the labels and bands of its profile."""
    raw = folder / "raw"
    own = load_profile(raw / "profile.toml").settings
    wide = {**own.get("validation", {}), "max_quarantined_share": 0.2}  # of a small world more rows are broken
    return altered(
        settings,
        home=folder / "home",
        data=Data(raw=str(raw), profile=str(raw / "profile.toml")),
        lake=settings.lake.model_copy(update={"uri": ""}),
        labels=Labels.model_validate(own.get("labels", {})),
        validation=Validation.model_validate(wide),
    )


def make_world(size: Size, folder: Path, settings: Settings, progress: Callable[[str], None]) -> Rows:
    """Make a world's rows under `folder`, unless they are there already; returns where.

    progress: called with the name of each part that is done, `parts_of` times.
    """
    rows = Rows(folder)
    if rows.facts.exists():
        return rows
    shutil.rmtree(folder, ignore_errors=True)  # what a killed run left
    simulate_days(size, folder)
    progress("simulate")
    own = world_settings(folder, settings)
    run_steps([START + number * ONE_DAY for number in range(size.days)], own, progress)
    facts = {**asdict(size), **_join_truth(rows, size, own)}
    progress("join the truth")
    write_text(rows.facts, json.dumps(facts, indent=1) + "\n")
    return rows


def parts_of(size: Size) -> int:
    """Return how many parts the making of a world has."""
    return 2 + size.days * len(STEPS)


def simulate_days(size: Size, folder: Path) -> None:
    """Write a world's logs and its truth into a folder."""
    from components.simulate.world import simulate

    counts = {"impressions_per_day": size.impressions_per_day, "seed": size.seed}
    simulate(folder / "raw", start=size.first, days=size.days, world=size.world, truth=folder / "truth", **counts)


def run_steps(days: Sequence[date], settings: Settings, progress: Callable[[str], None]) -> None:
    """Take days through the pipeline's steps before training; progress: called with the name of each that is done."""
    from components import steps

    for day in days:
        for step in STEPS:
            getattr(steps, step)(day, settings)
            progress(f"{step} {day}")


def _join_truth(rows: Rows, size: Size, settings: Settings) -> dict[str, Any]:
    """Write the three files; return what they hold."""
    known = told(pl.scan_parquet(rows.folder / "truth" / "day=*" / "*.parquet"))
    runs = pl.concat(_trained_on(START + number * ONE_DAY, size, settings) for number in range(size.days - 1))
    test = _as_labelled(size.last, settings, first=midnight(size.last), end=midnight(size.last + ONE_DAY))
    for part, path in ((runs, rows.train), (test, rows.test)):
        part.join(known, on="impression_id", how="inner", maintain_order="left").sink_parquet(path)
    _pairs(rows, size, settings).sink_parquet(rows.pairs)
    return {name: _counts(path) for name, path in (("train", rows.train), ("test", rows.test))}


def _trained_on(day: date, size: Size, settings: Settings) -> pl.LazyFrame:
    """Read what the run of `day` trains on, as `steps.train` does; the last run before the test also has its own holdout."""
    first = midnight(day) if day == START else holdout_start(day - ONE_DAY, settings)
    end = midnight(size.last) if day == size.last - ONE_DAY else holdout_start(day, settings)
    return _as_labelled(day, settings, first=first, end=end)


def _as_labelled(day: date, settings: Settings, *, first: datetime, end: datetime) -> pl.LazyFrame:
    """Read the rows between two instants with the labels of the run of `day` and what it knew of delays."""
    relabelled = Records(settings.root).require(day, "relabel")
    delays = estimate_delays(relabelled["days"], click_window=settings.labels.click_window)
    return assembled(day, settings, first=first, end=end).with_columns(delays.known_share())


def told(truth: pl.LazyFrame) -> pl.LazyFrame:
    """Return what the truth's rows are joined with: impression_id, `true_*`, what would have happened, and `final_*`."""
    rates = [pl.col(name).cast(pl.Float64).alias(f"true_{name}") for name in TRUTHS]
    return truth.select("impression_id", *rates, *_OUTCOMES, *(pl.col(name).alias(f"final_{name}") for name in LABELS))


def _pairs(rows: Rows, size: Size, settings: Settings) -> pl.LazyFrame:
    """Give the pairs of the last day the features of the day before."""
    from components.aggregate.assembly import assemble

    lake, eve = open_lake(settings), size.last - ONE_DAY
    rates = [pl.col(name).cast(pl.Float64).alias(f"true_{name}") for name in TRUTHS if name != "pctr"]
    pairs = pl.scan_parquet(rows.folder / "truth" / "pairs" / f"day={size.last}" / "*.parquet")
    renamed = pairs.with_columns(*rates, day=pl.lit(size.last)).drop(*(name for name in TRUTHS if name != "pctr"))
    return assemble(renamed, {table: lake.scan(table, eve) for table in FEATURES}, category=settings.profile.category)


def _counts(path: Path) -> dict[str, int]:
    sums = pl.col(*LABELS, *(f"final_{name}" for name in LABELS)).sum()
    counted: dict[str, int] = pl.scan_parquet(path).select(pl.len().alias("rows"), sums).collect().row(0, named=True)
    return counted
