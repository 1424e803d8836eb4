"""What a day must be, as data: for each measure of a table the band it stays in, and whether leaving it stops the day.

`critical` stops the day, `warning` is reported. Values come from `settings.validation`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from components.settings import Validation
from components.validate.failures import Severity
from components.validate.measures import Measures
from components.validate.subjects import Subject

_MEANINGS = {
    "num_repeated_keys": "rows whose key an earlier row has",
    "num_conversions_without_click": "conversions without a click",
    "num_actions_without_click": "actions without a click",
    "num_clicks_before_exposure": "clicks before their exposure",
    "num_actions_before_click": "actions before their click",
    "num_conversions_before_click": "conversions before their click",
    "num_flags_unlike_instants": "outcomes whose flag and instant disagree",
    "num_exposed_outside_day": "samples exposed on another day",
    "num_labelled_before_day_end": "labels as of an instant before the day's end",
    "num_outcomes_after_cut_off": "outcomes at or after the cut-off of their label",
    "num_wrong_maturities": "matures_at other than exposure + click window + conversion window",
    "num_after_day": "events newer than the day they arrived on",
}


@dataclass(frozen=True)
class Band:
    """The values, ends included, that a measure may have; None is an open end."""

    measure: str
    low: float | None
    high: float | None
    severity: Severity
    meaning: str


def draw_bands(subject: Subject, measures: Measures, options: Validation) -> list[Band]:
    """Return the bands of a table: those of its drift only where `measures` holds drift, just its rows where it is unreadable."""
    rows = _draw_rows(subject.name, options)
    if "num_repeated_keys" not in measures:
        return [rows]
    zeros = [Band(name, 0, 0, "critical", _MEANINGS[name]) for name in ("num_repeated_keys", *subject.defects)]
    outcomes = _draw_outcomes(options) if subject.name == "samples" else _draw_intake(options)
    return [rows, *_draw_nulls(subject, options), *zeros, *outcomes, *_draw_drift(subject, measures, options)]


def _draw_rows(table: str, options: Validation) -> Band:
    least = {"clicks": options.min_clicks, "purchases": options.min_purchases, "actions": 0}.get(table, options.min_impressions)
    return Band("num_rows", max(least, 1), None, "critical" if least else "warning", "rows of the day")


def _draw_nulls(subject: Subject, options: Validation) -> Iterator[Band]:
    for name in subject.required:
        most = 0 if name == subject.key else options.max_null_share
        yield Band(f"{name}_null_share", None, most, "critical", f"share of rows without {name}")


def _draw_outcomes(options: Validation) -> list[Band]:
    return [
        Band("num_cut_offs", 1, 1, "critical", "different cut-offs of the day's labels"),
        Band("ctr", *options.ctr_band, "critical", "clicked samples over samples"),
        Band("cvr", *options.cvr_band, "critical", "converted samples over clicked samples"),
    ]


def _draw_intake(options: Validation) -> list[Band]:
    return [
        Band("num_rows_in", 1, None, "warning", "raw rows that ingest read; none: the kind is missing"),
        Band("quarantined_share", None, options.max_quarantined_share, "critical", "unreadable rows over raw rows"),
        Band("duplicate_share", None, options.max_duplicate_share, "warning", "exact and conflicting duplicates over raw rows"),
    ]


def _draw_drift(subject: Subject, measures: Measures, options: Validation) -> Iterator[Band]:
    if "count_ratio" in measures:
        yield Band("count_ratio", *options.count_ratio_band, "warning", "rows over their mean of the days before")
    for name in subject.drifting:
        if f"{name}_psi" in measures:
            yield Band(f"{name}_psi", None, options.max_psi, "warning", f"population stability index of {name} against the days before")
