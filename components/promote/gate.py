"""The gate: may the challenger become the champion? It must not be worse than the champion, and its scores must be sound.

Non-inferiority on masked CVR AUC and CTCVR AUC. Undefined is never a pass. Pure: the same evaluation gives the same verdict.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from components.settings import Gate

Json = Mapping[str, Any]
GATE_METRICS = ("cvr_auc", "ctcvr_auc")
CALIBRATED = ("ctr", "ctcvr")


@dataclass(frozen=True)
class Verdict:
    """What the gate says, and why, in sentences with the numbers."""

    verdict: Literal["promote", "hold", "insufficient"]
    reason: str

    def to_dict(self) -> dict[str, str]:
        """Return the verdict as JSON."""
        return asdict(self)


def decide(evaluation: Json, *, gate: Gate) -> Verdict:
    """Judge `components.evaluate.metrics.evaluate`'s answer.

    In order: too few conversions are insufficient; unsound scores of the challenger hold; an undefined gate metric is insufficient;
    then promote when PCOC is in its band and, for both metrics, the lower bound of challenger minus champion is at least minus the
    margin, or, with no champion, the challenger's own lower bound is above 0.5; else hold.
    """
    unsound = _unsound_scores(evaluation)
    if few := _few_conversions(evaluation, gate):
        return Verdict("insufficient", "; ".join([few, *unsound]))
    if unsound:
        return Verdict("hold", "; ".join(unsound))
    if undefined := _undefined_metrics(evaluation):
        return Verdict("insufficient", "; ".join(undefined))
    judged = [*_judge_aucs(evaluation, gate), *_judge_calibration(evaluation, gate)]
    failed = [sentence for passed, sentence in judged if not passed]
    return Verdict("hold", "; ".join(failed)) if failed else Verdict("promote", "; ".join(sentence for _, sentence in judged))


def _few_conversions(evaluation: Json, gate: Gate) -> str:
    found = evaluation["conversions"]
    return "" if found >= gate.min_positives else f"conversions in the holdout: {found}, fewer than gate.min_positives {gate.min_positives}"


def _unsound_scores(evaluation: Json) -> list[str]:
    health = evaluation["health"]["challenger"]
    sound = health["finite"] and health["in_range"] and health["varying"]
    return [] if sound else [f"challenger: {fault}" for fault in health["faults"]] or ["challenger: its scores are unsound"]


def _compared(evaluation: Json, metric: str) -> tuple[str, Json]:
    """Return what the gate judges: the difference from the champion, or the challenger's own AUC where there is no champion."""
    if evaluation["models"]["champion"] is None:
        return f"{metric} of the challenger", evaluation["models"]["challenger"][metric] or {}
    return f"{metric} difference", (evaluation["difference"] or {}).get(metric) or {}


def _undefined_metrics(evaluation: Json) -> list[str]:
    found = (_compared(evaluation, metric) for metric in GATE_METRICS)
    return [f"{name} is undefined ({auc.get('reason', 'no reason given')})" for name, auc in found if not _defined(auc)]


def _defined(auc: Json) -> bool:
    return all(_finite(auc.get(part)) for part in ("value", "low"))


def _finite(number: float | None) -> bool:
    return number is not None and math.isfinite(number)


def _judge_aucs(evaluation: Json, gate: Gate) -> list[tuple[bool, str]]:
    first = evaluation["models"]["champion"] is None
    margins = {"cvr_auc": gate.cvr_auc_margin, "ctcvr_auc": gate.ctcvr_auc_margin}
    judged = []
    for metric, margin in margins.items():
        name, auc = _compared(evaluation, metric)
        passed = auc["low"] > 0.5 if first else auc["low"] >= -margin
        limit = "0.5 (no champion yet)" if first else f"the margin {-margin:+.4f}"
        numbers = f"{auc['value']:.4f} (low {auc['low']:.4f})" if first else f"{auc['value']:+.4f} (low {auc['low']:+.4f})"
        judged.append((passed, f"{name} {numbers} is {_side(passed, first)} {limit}"))
    return judged


def _side(passed: bool, first: bool) -> str:
    if passed:
        return "above" if first else "not below"
    return "not above" if first else "below"


def _judge_calibration(evaluation: Json, gate: Gate) -> list[tuple[bool, str]]:
    low, high = gate.pcoc_band
    judged = []
    for task in CALIBRATED:
        found = evaluation["models"]["challenger"]["pcoc"][task]
        passed = _finite(found) and low <= found <= high
        shown = f"{found:.3f}" if _finite(found) else "undefined"
        judged.append((passed, f"PCOC of p{task} {shown} is {'inside' if passed else 'outside'} the band {low:g} to {high:g}"))
    return judged
