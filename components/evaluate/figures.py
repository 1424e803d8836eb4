"""The report's figures, drawn from a day's records; one that cannot be drawn says why, in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import polars as pl

from components.evaluate.plots import Axis, Bar, Point, Series, bar_chart, line_chart, nice_axis
from components.evaluate.tasks import ROLES

Record = Mapping[str, Any]
TASK_NAMES = {"ctr": "CTR", "cvr": "masked CVR", "ctcvr": "CTCVR"}
_DIAGONAL = Series("", "reference", [Point(0, 0), Point(1, 1)], markers=False)
_DELAYS: tuple[tuple[float, str], ...] = (
    (60, "under 1 min"),
    (300, "1 to 5 min"),
    (1800, "5 to 30 min"),
    (7200, "30 min to 2 h"),
    (21600, "2 to 6 h"),
    (86400, "6 to 24 h"),
    (259200, "1 to 3 days"),
    (604800, "3 to 7 days"),
    (math.inf, "over 7 days"),
)


@dataclass(frozen=True)
class Figure:
    """A chart, or the reason why there is none."""

    title: str
    svg: str = ""
    missing: str = ""
    note: str = ""
    """Small print below the chart."""


def roc_figures(evaluation: Record) -> list[Figure]:
    """Draw the ROC curve of each task, both models in one chart."""
    return [_roc(task, evaluation) for task in TASK_NAMES]


def calibration_figures(evaluation: Record) -> list[Figure]:
    """Draw observed over predicted rates in bins of equally many rows, with 95 % Wilson intervals."""
    return [_calibration(task, evaluation) for task in TASK_NAMES]


def trend_figures(evaluations: Sequence[tuple[date, Record]]) -> list[Figure]:
    """Draw each task's AUC with its interval over the days; days without one leave a gap."""
    return [_trend(task, evaluations) for task in TASK_NAMES]


def delay_figure(delays_s: pl.Series) -> Figure:
    """Draw how long conversions took from their click; seconds, one per conversion."""
    title = "Delay from click to conversion"
    total = len(delays_s)
    if not total:
        return Figure(title, missing="No conversion is known for this day.")
    below = [0, *(int((delays_s < edge).sum()) for edge, _ in _DELAYS[:-1]), total]
    counts = [high - low for low, high in pairwise(below)]
    bars = [Bar(name, count, f"{count:,} ({_percent(count, total)})") for (_, name), count in zip(_DELAYS, counts, strict=True)]
    within = below[3] / total
    return Figure(title, bar_chart(title, f"{total:,} conversions, {within:.0%} of them within half an hour of the click.", bars))


def _roc(task: str, evaluation: Record) -> Figure:
    title = f"ROC, {TASK_NAMES[task]}"
    curves = {role: found[task] for role in ROLES if (found := evaluation["roc"].get(role)) and found[task]}
    if not curves:
        return Figure(title, missing="Undefined: the holdout has only one class, or scores that are not finite.")
    lines = [
        Series(role, role, [Point(*pair) for pair in zip(curve["fpr"], curve["tpr"], strict=True)], markers=False)
        for role, curve in curves.items()
    ]
    x, y = nice_axis("false positive rate", 0, 1), nice_axis("true positive rate", 0, 1)
    return Figure(title, line_chart(title, _auc_words(task, evaluation), [_DIAGONAL, *lines], x=x, y=y))


def _calibration(task: str, evaluation: Record) -> Figure:
    title = f"Calibration, {TASK_NAMES[task]}"
    bins = {role: found[task]["bins"] for role in ROLES if (found := evaluation["calibration"].get(role)) and found[task]["bins"]}
    if not bins:
        return Figure(title, missing="Undefined: no rows, or scores that are not finite.")
    lines = [Series(role, role, [_bin_point(each) for each in found]) for role, found in bins.items()]
    top = 1.05 * max(value for line in lines for point in line.points for value in (point.x, point.high or 0.0))
    diagonal = Series("", "reference", [Point(0, 0), Point(top, top)], markers=False)
    words = "; ".join(f"{role}: expected calibration error {_ece(evaluation, role, task)}" for role in bins)
    axes = {"x": nice_axis("predicted rate", 0, top), "y": nice_axis("observed rate", 0, top)}
    return Figure(title, line_chart(title, f"{words}. On the diagonal, predictions are right.", [diagonal, *lines], **axes))


def _trend(task: str, evaluations: Sequence[tuple[date, Record]]) -> Figure:
    title = f"{TASK_NAMES[task]} AUC by day"
    lines = [Series(role, role, _auc_points(role, task, evaluations), gap=1.0) for role in ROLES]
    known = [value for line in lines for point in line.points for value in (point.low, point.high) if value is not None]
    if not known:
        return Figure(title, missing="Undefined on every day so far.")
    low, high = max(min(known) - 0.01, 0.0), min(max(known) + 0.01, 1.0)
    x = Axis("day", -0.5, len(evaluations) - 0.5, _day_ticks([day for day, _ in evaluations]))
    days = f"{len(evaluations)} days" if len(evaluations) > 1 else "one day"
    words = f"{days}, with confidence intervals. {_auc_words(task, evaluations[-1][1])}"
    return Figure(title, line_chart(title, words, [line for line in lines if line.points], x=x, y=nice_axis("AUC", low, high)))


def _auc_points(role: str, task: str, evaluations: Sequence[tuple[date, Record]]) -> list[Point]:
    aucs = (
        (number, (found["models"].get(role) or {}).get(f"{task}_auc") if found else None) for number, (_, found) in enumerate(evaluations)
    )
    return [Point(n, auc["value"], auc["low"], auc["high"]) for n, auc in aucs if auc and auc["value"] is not None]


def _auc_words(task: str, evaluation: Record) -> str:
    aucs = {role: (model or {}).get(f"{task}_auc") for role in ROLES for model in [evaluation.get("models", {}).get(role)]}
    words = [f"{role} AUC {auc['value']:.3f}" for role, auc in aucs.items() if auc and auc["value"] is not None]
    return f"Last: {', '.join(words)}." if words else "The last day has no AUC."


def _ece(evaluation: Record, role: str, task: str) -> str:
    value = evaluation["calibration"][role][task]["ece"]
    return "undefined" if value is None else f"{value:.4f}"


def _bin_point(counts: Record) -> Point:
    low, high = _wilson(counts["positives"], counts["rows"])
    return Point(counts["predicted"], counts["observed"], low, high)


def _wilson(positives: int, rows: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's score interval (1927) of a share."""
    share, weight = positives / rows, z * z / rows
    middle = (share + weight / 2) / (1 + weight)
    reach = z * math.sqrt(share * (1 - share) / rows + weight / (4 * rows)) / (1 + weight)
    return max(middle - reach, 0.0), middle + reach


def _percent(part: int, whole: int) -> str:
    return "<1%" if 0 < part / whole < 0.005 else f"{part / whole:.0%}"


def _day_ticks(days: Sequence[date]) -> list[tuple[float, str]]:
    step = math.ceil(len(days) / 6)
    return [(number, f"{day:%m-%d}") for number, day in enumerate(days) if (len(days) - 1 - number) % step == 0]
