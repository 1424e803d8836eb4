"""The Data Docs of a day: Great Expectations runs the suites over its profiles, and over example rows of the tables that failed."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from components.settings import Settings
from components.validate.bands import Band
from components.validate.examples import draw_examples
from components.validate.failures import Failure
from components.validate.pages import Summary, publish_site, write_index
from components.validate.subjects import describe_subjects
from components.validate.verdicts import is_within

_COMPARISONS = ("_psi_1d", "_psi_7d", "_js_1d", "_js_7d", "_new_share", "_null_rise", "_flattened", "_median_ratio")


def write_docs(
    profiles: Sequence[Mapping[str, Any]],
    failures: Sequence[Failure],
    docs: Path,
    *,
    frames: Mapping[str, pl.LazyFrame],
    settings: Settings,
) -> tuple[Path, list[Failure]]:
    """Write the whole site into the folder `docs`, replacing an earlier one; returns the path of its index and all that failed.

    profiles: those of one day, of different tables. failures: what `verdicts` found; Great Expectations judges the same bands.
    frames: tables of which to show example rows, name -> rows.
    Raises ExpectationRaisedError, the site being written, when a check could not be evaluated: that is no verdict on the data.
    """
    from components.validate.batches import judge_profile, show_rows
    from components.validate.runs import ExpectationRaisedError, run_suites

    day = date.fromisoformat(profiles[0]["day"])
    batches = []
    for profile in profiles:
        for table, found in profile["tables"].items():
            not_run = [line for line in profile["not_run"] if line.startswith(f"{table}:")]
            bands = [band for band in (Band(*band) for band in found["bands"]) if not _is_met_comparison(band, found["measures"])]
            batches.append(judge_profile(table, found["measures"], bands, not_run=not_run))
    subjects = [subject for subject in describe_subjects(day, settings) if subject.name in frames]
    for subject in subjects:
        rows = draw_examples(frames[subject.name], subject, settings.validation.sample_rows)
        batches.append(show_rows(subject, rows, settings.validation))
    with publish_site(docs) as site:
        shown, raised = run_suites(batches, run_name=f"day={day}", site=site)
        failed = sorted([*failures, *(new for new in shown if new not in failures)], key=lambda failure: failure.severity != "critical")
        write_index(site, Summary(day, failed, raised, profiles))
    index = docs.absolute() / "index.html"
    if raised:
        raise ExpectationRaisedError(
            f"Data Docs of {day}: expected every check to be evaluated, found {len(raised)} that raised: {'; '.join(raised)}. "
            f"See {index}. Mend the suite or its host, then run `esmm report {day}` again"
        )
    return index, failed


def _is_met_comparison(band: Band, measures: Mapping[str, Any]) -> bool:
    """Tell of a column's band, one of hundreds, that the day kept it: the index lists it, and an expectation costs 4 ms."""
    return band.measure.endswith(_COMPARISONS) and is_within(measures[band.measure], band)
