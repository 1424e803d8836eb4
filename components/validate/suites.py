"""Validation of a day: measure every table, judge the measures, keep the Data Docs. Reads frames and settings, writes only `docs`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from components.settings import Settings
from components.validate.batches import Batch, make_batches
from components.validate.drift import compare
from components.validate.failures import Failure
from components.validate.measures import Measured, measure
from components.validate.pages import Summary, publish_site, write_index
from components.validate.runs import ExpectationRaisedError, run_suites
from components.validate.subjects import Subject, describe_subjects

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class DayFrames:
    """The tables of a day: its samples, and the events that arrived on it."""

    samples: pl.LazyFrame
    impressions: pl.LazyFrame
    clicks: pl.LazyFrame
    purchases: pl.LazyFrame
    actions: pl.LazyFrame | None


@dataclass(frozen=True)
class Validation:
    """What validation says of a day."""

    success: bool
    """Whether no critical expectation failed."""
    failures: list[Failure]
    """Critical ones first."""
    profile: dict[str, Any]
    """The exact profile, of JSON types: `day`, `success`, `tables` (name -> `measures`, `histograms`) and `not_run` (reasons)."""
    docs_index: Path


def validate_day(
    frames: DayFrames, *, day: date, accounting: list[dict[str, Any]], history: list[dict[str, Any]], settings: Settings, docs: Path
) -> Validation:
    """Judge a day's tables against their suites and leave Data Docs in the folder `docs`, replacing those of an earlier run.

    frames: rows in any order. accounting: per kind, or per file of a kind, the counts of ingest. history: the `profile` of earlier
    days, of which those that failed are no reference; without any, drift is not run, and the profile says so.
    Raises ExpectationRaisedError when a check could not be evaluated: that is no verdict on the data.
    """
    profile: dict[str, Any] = {"day": str(day), "tables": {}, "not_run": []}
    batches: list[Batch] = []
    for subject in describe_subjects(day, settings):
        frame = getattr(frames, subject.name)
        measured = measure(_or_empty(frame, subject), subject, sample_rows=settings.validation.sample_rows)
        not_run = _complete(measured, subject, accounting, history)
        batches.extend(make_batches(subject, measured, options=settings.validation, not_run=not_run))
        profile["tables"][subject.name] = {"measures": measured.measures, "histograms": measured.histograms}
        profile["not_run"].extend(f"{subject.name}: {reason}" for reason in not_run)
    profile = json.loads(json.dumps(profile, allow_nan=False))
    with publish_site(docs) as site:
        failures, raised = run_suites(batches, run_name=f"day={day}", site=site)
        write_index(site, Summary(day, failures, raised, profile))
    index = docs.absolute() / "index.html"
    if raised:
        raise ExpectationRaisedError(
            f"validate {day}: expected every check to be evaluated, found {len(raised)} that raised: {'; '.join(raised)}. "
            f"The data are not judged. Data Docs: {index}. Mend the suite or its host, then rerun validate"
        )
    success = all(failure.severity != "critical" for failure in failures)
    return Validation(success, failures, {**profile, "success": success}, index)


def _or_empty(frame: pl.LazyFrame | None, subject: Subject) -> pl.LazyFrame:
    """Return the frame; where a kind that the profile declares has none, an empty one, so that its suite fails."""
    return pl.LazyFrame(schema=subject.schema) if frame is None else frame


def _complete(measured: Measured, subject: Subject, accounting: Records, history: Records) -> list[str]:
    """Add to the measures of a table what ingest counted and how it compares with earlier days; return what cannot be told, and why."""
    if not measured.readable:
        return ["all but its columns and its number of rows was not run: the columns are not as declared"]
    if subject.name != "samples":
        measured.measures.update(_measure_intake([record for record in accounting if record["kind"] == subject.name]))
    before = [earlier["tables"][subject.name] for earlier in history if earlier["success"] and subject.name in earlier["tables"]]
    if not before:
        return ["drift was not run: no earlier day that passed has a profile of the table"]
    drift, not_run = compare(measured.measures["num_rows"], measured.histograms, before, columns=subject.drifting)
    measured.measures.update(drift)
    return not_run


def _measure_intake(records: Records) -> dict[str, float]:
    """Return the raw rows of a kind and the shares of them that ingest did not accept; of no rows, 0."""
    counts = {
        name: sum(int(record[name]) for record in records)
        for name in ("rows_in", "exact_duplicates", "conflicting_duplicates", "quarantined")
    }
    rows = max(counts["rows_in"], 1)
    duplicates = counts["exact_duplicates"] + counts["conflicting_duplicates"]
    return {"num_rows_in": counts["rows_in"], "quarantined_share": counts["quarantined"] / rows, "duplicate_share": duplicates / rows}
