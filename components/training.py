"""What a day is trained on, found by day: the rows, the parent, and what the manifest says of both."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from components.errors import DataError
from components.inputs import ONE_DAY, assembled, days_to_retrain, holdout_start, midnight, open_lake, parent_of, retrains, samples_version
from components.records import Record, Records
from components.settings import Settings
from components.tables import FEATURES, SAMPLES

if TYPE_CHECKING:
    from components.checkpoints import Checkpoint
    from components.train.delay import Delays


@dataclass(frozen=True)
class TrainingInputs:
    """A day's rows and where its training starts."""

    rows: pl.LazyFrame
    """Assembled samples, in time order."""
    parent: "Checkpoint | None"
    """None: a cold start."""
    facts: Record
    """JSON-able; part of the challenger's manifest."""


def training_inputs(day: date, settings: Settings) -> TrainingInputs:
    """Find the rows between the two holdouts, or those of many days for a full retrain, with the parent that goes with them.

    Raises DataError where there are no rows.
    """
    from components.checkpoints import CheckpointStore

    lake, full = open_lake(settings), retrains(day, settings)
    parent = None if full else parent_of(day, CheckpointStore(settings.root), settings)
    days = days_to_retrain(day, settings) if full else [day - ONE_DAY, day] if parent else [day]
    first = holdout_start(days[0], settings) if parent else midnight(days[0])
    end = holdout_start(day, settings)
    samples = {str(known): samples_version(day, known, settings) for known in days}
    features = {table.name: lake.version(table) for table in FEATURES}  # before they are read: a later commit is not trained on
    rows = assembled(day, settings, first=first, end=end).filter(pl.col("day").is_in(days))
    if rows.select("impression_id").head(1).collect(engine="streaming").is_empty():
        raise DataError(f"train {day}: expected samples exposed from {first} to the holdout at {end}, found none; begin with a later day")
    learned: Record = {}
    if settings.model.age_corrected:
        delays = known_delays(day, settings)
        rows, learned = rows.with_columns(delays.known_share()), {"delays": asdict(delays)}
    versions = {"table_versions": {SAMPLES.name: samples[str(day)], **features}, "samples_versions": samples}
    origin = {"day": str(day), "rows_from": first.isoformat(), "full_retrain": full}
    return TrainingInputs(rows, parent, {**learned, **versions, **origin})


def known_delays(day: date, settings: Settings) -> "Delays":
    """Return what the run of a day knows of the delays of conversions: what its `relabel` saw on the earlier days."""
    from components.train.delay import estimate_delays

    relabelled = Records(settings.root).require(day, "relabel")
    return estimate_delays(relabelled["days"], click_window=settings.labels.click_window)
