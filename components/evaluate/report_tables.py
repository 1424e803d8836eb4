"""The report's tables as rows of text: what has no value is said in words, never shown as 0 or left blank."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.evaluate.figures import TASK_NAMES
from components.evaluate.quadrants import NAMES
from components.evaluate.tasks import ROLES

Record = Mapping[str, Any]
_ID_SHARES = ("unknown_share", "collision_share")
_JUDGED_ON = {"ctr": "all impressions", "cvr": "clicked impressions only", "ctcvr": "all impressions"}


@dataclass(frozen=True)
class Cell:
    """A value and, in small print, what belongs to it (an interval, a reason)."""

    value: str
    note: str = ""


@dataclass(frozen=True)
class MetricRow:
    """One metric of both models."""

    name: str
    note: str
    cells: tuple[Cell, Cell, Cell]
    """Challenger, champion, difference."""


@dataclass(frozen=True)
class FunnelRow:
    """One stage of the funnel; `width` is the bar's, in percent, on a log scale."""

    name: str
    count: str
    width: float
    rates: tuple[str, ...]


@dataclass(frozen=True)
class SliceTable:
    """Metrics by the values of one column."""

    column: str
    rows: Sequence[tuple[str, int, int, int, tuple[Cell, ...]]]
    rest: str


def number(value: float | None, digits: int = 4) -> str:
    """Write a number, or say that there is none."""
    return "undefined" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def count(value: int | None) -> str:
    """Write a count with thousands separated, or say that it is not known."""
    return "not known" if value is None else f"{value:,}"


def plain(value: object) -> str:
    """Write a recorded value for reading: yes, no, none, or names with their counts."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {plain(each)}" for name, each in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value) or "none"


def instant(value: str) -> str:
    """Write an ISO instant of the records for reading."""
    return value.replace("T", " ").replace("+00:00", " UTC")


def share(part: int, whole: int, of: str) -> str:
    """Write a share in percent, or say what there were none of."""
    return f"{part / whole:.2%}" if whole else f"undefined (no {of})"


def auc_cell(auc: Record | None, absent: str = "no champion yet") -> Cell:
    """Write an AUC with its interval, the reason why it is undefined, or that there is no such model."""
    if auc is None:
        return Cell(absent)
    if auc.get("value") is None:
        return Cell("undefined", str(auc.get("reason", "")).removeprefix("AUC: "))
    return Cell(f"{auc['value']:.4f}", f"{auc['low']:.4f} to {auc['high']:.4f}")


def difference_cell(difference: Record | None) -> Cell:
    """Write the paired difference of two AUCs with its interval and its sign."""
    if difference is None:
        return Cell("nothing to compare with")
    if difference.get("value") is None:
        return Cell("undefined", str(difference.get("reason", "")))
    return Cell(f"{difference['value']:+z.4f}", f"{difference['low']:+z.4f} to {difference['high']:+z.4f}")


def metric_rows(evaluation: Record) -> list[MetricRow]:
    """Return AUCs, log losses, PCOCs and calibration errors of both models, AUCs first."""
    models = [evaluation["models"].get(role) for role in ROLES]
    aucs = [_auc_row(task, models, evaluation["difference"]) for task in TASK_NAMES]
    losses = [_plain_row(f"{name} log loss", "lower is better", task, "log_loss", models) for task, name in TASK_NAMES.items()]
    pcocs = [_plain_row(f"{name} PCOC", "predicted over observed; 1 is right", task, "pcoc", models) for task, name in TASK_NAMES.items()]
    return [*aucs, *losses, *pcocs]


def funnel(records: Mapping[str, Record]) -> list[FunnelRow]:
    """Return impressions, clicks, actions and conversions of the labelled day with their rates; nothing before label has run."""
    labelled = records.get("label")
    if not labelled:
        return []
    shown, clicks, actions, conversions = (labelled[name] for name in ("samples", "clicks", "actions", "conversions"))
    stages = [
        ("Impressions", shown, ()),
        ("Clicks", clicks, (f"CTR {share(clicks, shown, 'impressions')}",)),
        ("Actions", actions, (f"{share(actions, clicks, 'clicks')} of clicks",)),
        (
            "Conversions",
            conversions,
            (f"CVR {share(conversions, clicks, 'clicks')} of clicks", f"CTCVR {share(conversions, shown, 'impressions')} of impressions"),
        ),
    ]
    rows = [FunnelRow(name, count(found), _log_width(found, shown), rates) for name, found, rates in stages]
    if "ingest-actions" not in records:
        rows[2] = FunnelRow("Actions", "none logged", 0.0, ("this data set has no action log",))
    return rows


def id_rows(trained: Record | None) -> list[tuple[str, ...]]:
    """Return what became of the ids of each field that a training read, in the order of the report's columns."""
    counts = ("entries", "ids", "admitted", "evicted", "waiting")
    return [
        (each["field"], each["table"], *(_counted(each[name]) for name in counts), *(_percent(each[name]) for name in _ID_SHARES))
        for each in (trained or {}).get("ids", ())
    ]


def _counted(value: int | None) -> str:
    return "does not apply" if value is None else count(value)


def _percent(value: float | None) -> str:
    return "does not apply" if value is None else f"{value:.2%}"


def slice_tables(evaluation: Record) -> list[SliceTable]:
    """Return one table per column, the values with the most rows first."""
    return [_slice_table(column, found) for column, found in evaluation["slices"].items()]


def quadrant_cells(evaluation: Record) -> dict[str, Any] | None:
    """Return the quadrants with their shares and rates, high CVR first; None where there are none."""
    found = evaluation.get("quadrants")
    if not found:
        return None
    total = sum(part["impressions"] for part in found["quadrants"].values()) + found["unclicked"]["impressions"]
    cells = {name: _quadrant(found["quadrants"][name], total) for name in NAMES}
    medians = {name: f"{found[f'median_{name}']:.2%}" for name in ("ctr", "cvr")}
    return {"cells": cells, "unclicked": _quadrant(found["unclicked"], total), **medians}


def _quadrant(part: Record, total: int) -> dict[str, str]:
    shown = part["impressions"]
    return {
        "items": count(part["items"]),
        "impressions": count(shown),
        "share": share(shown, total, "impressions"),
        "each": f"{shown / part['items']:.1f}" if part["items"] else "undefined (no items)",
        "ctr": share(part["clicks"], shown, "impressions"),
        "cvr": share(part["conversions"], part["clicks"], "clicks"),
    }


def _slice_table(column: str, found: Record) -> SliceTable:
    rows = [(str(each["value"]), each["rows"], each["clicks"], each["conversions"], _slice_cells(each)) for each in found["values"]]
    values, left = found["other_values"], found["other_rows"]
    return SliceTable(column, rows, f"{count(values)} more values with {count(left)} rows are not shown." if values else "")


def _slice_cells(each: Record) -> tuple[Cell, ...]:
    aucs = (_short_auc(each["challenger"][f"{task}_auc"]) for task in TASK_NAMES)
    differences = ((each["difference"] or {}).get(f"{task}_auc") for task in ("cvr", "ctcvr"))
    return (*aucs, *(_short_difference(found) for found in differences))


def _short_auc(auc: Record) -> Cell:
    """Write an AUC for a narrow column: where it is undefined, the counts stand for the reason."""
    if auc["value"] is None:
        return Cell("undefined", f"{count(auc['positives'])} of {count(auc['positives'] + auc['negatives'])} positive")
    return Cell(f"{auc['value']:.3f}", f"{auc['low']:.3f} to {auc['high']:.3f}")


def _short_difference(difference: Record | None) -> Cell:
    if difference is None or difference["value"] is None:
        return Cell("no champion" if difference is None else "undefined")
    return Cell(f"{difference['value']:+z.3f}", f"{difference['low']:+z.3f} to {difference['high']:+z.3f}")


def _auc_row(task: str, models: Sequence[Record | None], difference: Record | None) -> MetricRow:
    aucs = [model[f"{task}_auc"] if model else None for model in models]
    counted = next((auc for auc in aucs if auc and "positives" in auc), None)
    rows = f"; {count(counted['positives'])} positives, {count(counted['negatives'])} negatives" if counted else ""
    cells = (auc_cell(aucs[0], "not judged"), auc_cell(aucs[1]), difference_cell((difference or {}).get(f"{task}_auc")))
    return MetricRow(f"{TASK_NAMES[task]} AUC", f"{_JUDGED_ON[task]}{rows}", cells)


def _plain_row(name: str, note: str, task: str, metric: str, models: Sequence[Record | None]) -> MetricRow:
    values = [model[metric][task] if model else None for model in models]
    cells = [Cell(number(value)) if model else Cell("no champion yet") for model, value in zip(models, values, strict=True)]
    both = [value for value in values if value is not None]
    gap = Cell(f"{both[0] - both[1]:+z.4f}") if len(both) == 2 else Cell("nothing to compare with")
    return MetricRow(name, note, (cells[0], cells[1], gap))


def _log_width(found: int, most: int) -> float:
    return round(100 * math.log1p(found) / math.log1p(most), 1) if most else 0.0


FILTERS = {"plain": plain, "instant": instant, "count": count, "number": number, "auc_cell": auc_cell, "difference_cell": difference_cell}
