"""The three tasks of a holdout, and their AUCs and loss as JSON.

CTR and CTCVR are judged on all impressions, CVR on the clicked ones only. An undefined AUC is {"value": null, ..., "reason": why}.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from components.errors import UndefinedMetricError
from components.evaluate.auc import Booleans, Floats, Placements, auc_difference, auc_interval, placements
from components.settings import Evaluation

Json = dict[str, Any]
ROLES = ("challenger", "champion")
SCORES = ("pctr", "pcvr", "pctcvr")


@dataclass(frozen=True)
class Task:
    """What is predicted, by which score, on which rows."""

    label: str
    score: str
    clicked_only: bool = False


TASKS: Mapping[str, Task] = {
    "ctr": Task("clicked", "pctr"),
    "cvr": Task("converted", "pcvr", clicked_only=True),
    "ctcvr": Task("converted", "pctcvr"),
}


@dataclass(frozen=True)
class Judged:
    """The rows of one task: the label and each role's score."""

    positive: Booleans
    scores: Mapping[str, Floats]


def judge(scored: pl.DataFrame, task: Task, roles: tuple[str, ...]) -> Judged:
    """Take a task's rows out of the scored holdout; a null score is a NaN."""
    rows = scored.filter("clicked") if task.clicked_only else scored
    scores = {role: rows[f"{role}_{task.score}"].cast(pl.Float64).fill_null(float("nan")).to_numpy() for role in roles}
    return Judged(rows[task.label].to_numpy(), scores)


def auc_metrics(scored: pl.DataFrame, roles: tuple[str, ...], evaluation: Evaluation) -> Json:
    """Return {role: {"<task>_auc": ...}} for each role, and "difference" where there are two, on one set of rows."""
    found: Json = {role: {} for role in (*roles, *(("difference",) if len(roles) == 2 else ()))}
    for name, task in TASKS.items():
        for key, auc in task_aucs(judge(scored, task, roles), evaluation).items():
            found[key][f"{name}_auc"] = auc
    return found


def task_aucs(judged: Judged, evaluation: Evaluation) -> dict[str, Json]:
    """Return each role's AUC, and their "difference" where there are two roles."""
    ranked: dict[str, Placements] = {}
    found: dict[str, Json] = {}
    for role, score_N in judged.scores.items():
        try:
            ranked[role] = placements(judged.positive, score_N, min_positives=evaluation.min_positives)
            found[role] = asdict(auc_interval(ranked[role], confidence=evaluation.confidence))
        except UndefinedMetricError as undefined:
            positives = int(np.count_nonzero(judged.positive))
            found[role] = {**_undefined(str(undefined)), "positives": positives, "negatives": len(judged.positive) - positives}
    if len(judged.scores) == 2:
        found["difference"] = _difference(found, ranked, evaluation.confidence)
    return found


def _difference(found: Mapping[str, Json], ranked: Mapping[str, Placements], confidence: float) -> Json:
    if len(ranked) == len(ROLES):
        return asdict(auc_difference(*(ranked[role] for role in ROLES), confidence=confidence))
    return _undefined("; ".join(f"{role}: {found[role]['reason']}" for role in ROLES if role not in ranked))


def _undefined(reason: str) -> Json:
    return {"value": None, "low": None, "high": None, "reason": reason}
