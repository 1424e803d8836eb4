"""The day's report: one self-contained HTML page, drawn from the records of its steps. What is missing is said in words."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from components.evaluate.data_figures import completeness_figure, completeness_table, drift_figures
from components.evaluate.figures import TASK_NAMES, Figure, calibration_figures, delay_figure, roc_figures, trend_figures
from components.evaluate.report_tables import FILTERS, funnel, id_rows, metric_rows, quadrant_cells, slice_tables
from components.profile import KINDS

Record = Mapping[str, Any]
TREND_DAYS = 30
DRIFT_DAYS = 14
_CHECKS = ("validate", "validate-features", "validate-predictions")
_STEPS = ("ingest", "label", "validate", "relabel", "aggregate", "publish", "train", "evaluate", "promote")
_VERDICTS = {
    "promote": "The challenger may serve.",
    "hold": "The champion stays.",
    "insufficient": "Too little is known to decide; the champion stays.",
}


@dataclass(frozen=True)
class ReportInputs:
    """What the page is drawn from."""

    day: date
    records: Mapping[str, Record]
    """The day's records, step -> record (ingest: one per kind, `ingest-<kind>`)."""
    history: Sequence[tuple[date, Mapping[str, Record]]]
    """The same of earlier days, ascending."""
    delays_s: pl.Series
    """Seconds from click to conversion, one per conversion of the day."""
    reasons: Sequence[Record] = ()
    """Of the rows kept out: `kind`, `reason`, `rows`."""
    page: Path | None = None
    """Where the page will stand: its links are relative to this. None: paths are shown, not linked."""


@dataclass(frozen=True)
class Verdict:
    """What the day came to: a word for the title, one line of meaning and the reason."""

    word: str
    meaning: str
    reason: str


def render(report: ReportInputs) -> str:
    """Return the page; the same inputs give the same text."""
    records = report.records
    evaluation = records.get("evaluate")
    days = [*report.history, (report.day, records)][-TREND_DAYS:]
    return _template().render(
        day=report.day,
        verdict=day_verdict(records),
        records=_all_steps(records),
        reasons=report.reasons,
        completeness=completeness_table(records.get("relabel")),
        completed=completeness_figure(records.get("relabel")),
        drift=drift_figures(days[-DRIFT_DAYS:]),
        checks=[failure for step in _CHECKS if step in records for failure in records[step].get("failures", ())],
        ingested=[records[step] for kind in KINDS if (step := f"ingest-{kind}") in records],
        funnel=funnel(records),
        evaluation=evaluation,
        metrics=metric_rows(evaluation) if evaluation else [],
        slices=slice_tables(evaluation) if evaluation else [],
        ids=id_rows(records.get("train")),
        quadrants=quadrant_cells(evaluation) if evaluation else None,
        days=[(day, _all_steps(found)) for day, found in days],
        verdicts=[day_verdict(found).word for _, found in days],
        trends=trend_figures([(day, found.get("evaluate", {})) for day, found in days]),
        curves=[*roc_figures(evaluation), *calibration_figures(evaluation)] if evaluation else [],
        delays=delay_figure(report.delays_s) if "label" in records else Figure("Delay", missing="label has not run."),
        seconds=step_seconds(records),
        docs=docs_link(records.get("validate"), report.page),
        tasks=TASK_NAMES,
    )


def day_verdict(records: Mapping[str, Record]) -> Verdict:
    """Return the gate's verdict, or what stands in its way."""
    if promoted := records.get("promote"):
        meaning = _VERDICTS.get(promoted["verdict"], "")
        moved = " The champion alias was moved to it." if promoted.get("moved") else ""
        return Verdict(promoted["verdict"], meaning + moved, promoted["reason"])
    validated = records.get("validate")
    if validated and not validated["success"]:
        critical = [failure for failure in validated["failures"] if failure["severity"] == "critical"]
        names = ", ".join(str(failure["expectation"]) for failure in critical)
        return Verdict("stopped", "Validation stopped the day; no model was judged.", f"critical: {names}")
    missing = ", ".join(step for step, seconds in step_seconds(records) if seconds is None)
    return Verdict("no verdict", "The day is not finished.", f"not run yet: {missing}")


def step_seconds(records: Mapping[str, Record]) -> list[tuple[str, float | None]]:
    """Return each step's seconds in the day's order, ingest as the sum of its kinds; None where it has not run."""
    ingested = [record["seconds"] for step, record in records.items() if step.startswith("ingest-")]
    known = {step: record["seconds"] for step, record in records.items() if "seconds" in record}
    return [(step, sum(ingested) if step == "ingest" and ingested else known.get(step)) for step in _STEPS]


def docs_link(validated: Record | None, page: Path | None) -> str:
    """Return the relative link from the page to the Data Docs, empty where there is no place to link from or to."""
    if not validated or not validated.get("docs") or page is None:
        return ""
    return quote(os.path.relpath(validated["docs"], page.parent), safe="/=")


def _all_steps(records: Mapping[str, Record]) -> dict[str, Record | None]:
    return {step: records.get(step) for step in _STEPS}


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(FILTERS)
    return environment.get_template("report.html.j2")
