"""What a day's own tables are asked after the steps that write them, and the days before a day that it is compared with."""

import logging
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from components.errors import MissingInputError, ValidationFailedError
from components.inputs import ONE_DAY, open_lake
from components.records import Record, Records, recorded
from components.settings import Settings
from components.tables import DAYS, FEATURES, OUTCOMES, PREDICTIONS

if TYPE_CHECKING:
    from components.validate.suites import Validation

log = logging.getLogger("esmm")


def check_features(day: date, settings: Settings) -> Record:
    """Check what relabel and aggregate wrote for `day`; raises ValidationFailedError when a critical expectation fails."""
    from components.validate.suites import validate_tables

    with recorded(day, "validate-features", settings) as record:
        lake, history = open_lake(settings), profiles_before(day, "validate-features", settings)
        frames = {table: lake.scan(table, day) for table in (OUTCOMES, *FEATURES, *DAYS)}
        record.update(_require_success(validate_tables(frames, day=day, history=history, settings=settings), day, "aggregate"))
    return record


def check_predictions(day: date, rows: pl.LazyFrame, settings: Settings) -> Record:
    """Check the predictions of `day` and the assembled rows they were made from; raises ValidationFailedError as above."""
    from components.validate.suites import validate_predictions

    with recorded(day, "validate-predictions", settings) as record:
        predictions = open_lake(settings).scan(PREDICTIONS, day)
        history = profiles_before(day, "validate-predictions", settings)
        verdict = validate_predictions(predictions, rows, day=day, history=history, settings=settings)
        record.update(_require_success(verdict, day, "evaluate"))
    return record


def suggest(day: date, settings: Settings) -> str:
    """Propose the profile's `[settings.validation]`, as TOML, from the days up to `day` that passed their validation, 30 at most."""
    from components.validate.suggestions import LEAST_DAYS, suggest_bands

    records = Records(settings.root)
    found = [records.read(day - number * ONE_DAY, "validate") for number in range(30)]
    profiles = [record["profile"] for record in found if record and record["success"]]
    if len(profiles) < LEAST_DAYS:
        raise MissingInputError(
            f"{records.folder}: expected at least {LEAST_DAYS} of the 30 days up to {day} with a validation that passed, found "
            f"{len(profiles)}; run `esmm validate` for more days first"
        )
    return suggest_bands(profiles, settings=settings)


def profiles_before(day: date, step: str, settings: Settings) -> list[Record]:
    """Return what a step of the 7 days before measured, where it has run, the last day first; days that failed are among them."""
    found = [Records(settings.root).read(day - number * ONE_DAY, step) for number in range(1, 8)]
    return [record["profile"] for record in found if record]


def _require_success(verdict: "Validation", day: date, step: str) -> Record:
    """Log what the tables that a step wrote did not meet and return what to record; raises ValidationFailedError for a critical one."""
    for failure in verdict.failures:
        log.warning("%s %s: %s", step, day, failure)
    if not verdict.success:
        raise ValidationFailedError(f"{step} {day}: {verdict.reason}. Mend the band or what it reads, then run `esmm {step} {day}` again")
    return {"success": True, "failures": [asdict(failure) for failure in verdict.failures], "profile": verdict.profile}
