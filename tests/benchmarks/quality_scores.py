"""What the quality benchmark's scores are worth: AUCs by seed, and ours beside each peer's with both sorts of interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.evaluate.auc import Booleans, auc_difference, placements
from components.experiment.summary import CONFIDENCE, t_reach
from components.records import Record

Floats = NDArray[np.float64]
PCTR, PCVR, PCTCVR, ONE_CTR = range(4)
"""Columns of scores; the last is pCTCVR with BASE's pCTR, the one CTR network. NaN: the network has none."""
METRICS = {"cvr_auc": "CVR, clicked", "ctcvr_auc": "CTCVR, one CTR network", "ctcvr_auc_own": "CTCVR, own", "ctr_auc": "CTR"}
_COLUMNS = {"cvr_auc": PCVR, "ctcvr_auc": ONE_CTR, "ctcvr_auc_own": PCTCVR, "ctr_auc": PCTR}


@dataclass(frozen=True)
class Outcomes:
    """The labels of the test rows, bool [N]."""

    clicked_N: Booleans
    converted_N: Booleans

    def task(self, metric: str, scores_N4: Floats) -> tuple[Booleans, Floats]:
        """Return the outcomes and scores that a metric is of: of CVR the clicked rows', without a click there is no outcome."""
        score_N = scores_N4[:, _COLUMNS[metric]]
        if metric == "cvr_auc":
            return self.converted_N[self.clicked_N], score_N[self.clicked_N]
        return (self.clicked_N if metric == "ctr_auc" else self.converted_N), score_N

    def auc(self, metric: str, scores_N4: Floats) -> float:
        """Return a metric."""
        return placements(*self.task(metric, scores_N4)).auc


Runs = Mapping[str, Sequence[Floats]]
"""Network -> scores [N, 4] of each seed."""


def with_one_ctr(own_N3: Floats, base_N3: Floats, *, own_ctr: bool) -> Floats:
    """Return an arm's scores with pCTCVR by BASE's pCTR of the same seed. Without a CTR of its own its pCTR and pCTCVR are none."""
    pctr_N, pcvr_N, pctcvr_N = own_N3.T
    none_N = np.full_like(pcvr_N, np.nan)
    own = (pctr_N, pcvr_N, pctcvr_N) if own_ctr else (none_N, pcvr_N, none_N)
    return np.stack([*own, base_N3[:, PCTR] * pcvr_N], axis=1)


def without_one_ctr(scores_N3: Floats) -> Floats:
    """Return a peer's scores: with a CTR network of ours they would be neither's."""
    return np.column_stack([scores_N3, np.full(len(scores_N3), np.nan)])


def with_better_pcvr(seeds: Sequence[Floats], test: Outcomes) -> list[Floats]:
    """Return a peer's scores with pctcvr in place of pcvr where it ranks the clicked rows better over the seeds: a choice in its favour."""
    swapped = [scores_N4[:, [PCTR, PCTCVR, PCTCVR, ONE_CTR]] for scores_N4 in seeds]
    quotient, head = (float(np.mean([test.auc("cvr_auc", scores_N4) for scores_N4 in each])) for each in (seeds, swapped))
    return swapped if head > quotient else list(seeds)


def summarise(runs: Runs, test: Outcomes) -> dict[str, dict[str, Record | None]]:
    """Return each network's AUCs: by metric, of each seed, their mean and standard deviation; None where it has no such score."""
    return {
        name: {metric: _summarise(metric, seeds, test) if _has(metric, seeds) else None for metric in METRICS}
        for name, seeds in runs.items()
    }


def _summarise(metric: str, seeds: Sequence[Floats], test: Outcomes) -> Record:
    aucs = [test.auc(metric, scores_N4) for scores_N4 in seeds]
    return {"seeds": aucs, "mean": float(np.mean(aucs)), "sd": float(np.std(aucs, ddof=1)) if len(aucs) > 1 else None}


def _has(metric: str, seeds: Sequence[Floats]) -> bool:
    return not any(np.isnan(scores_N4[:, _COLUMNS[metric]]).any() for scores_N4 in seeds)


def compare(arm: str, other: str, runs: Runs, test: Outcomes) -> dict[str, Record | None]:
    """Return one network's AUC less another's, by metric: by seed with a t interval, and of the mean of the seeds' scores with DeLong's.

    The first interval tells of seeds, the second of the test rows, of which the rare outcomes are few. Verdict: better or worse where
    both leave 0 on the same side, else equal. None where one of them has no such score.
    """
    pair = runs[arm], runs[other]
    return {metric: _compare(metric, *pair, test) if all(_has(metric, seeds) for seeds in pair) else None for metric in METRICS}


def _compare(metric: str, ours: Sequence[Floats], theirs: Sequence[Floats], test: Outcomes) -> Record:
    differences = [test.auc(metric, own) - test.auc(metric, other) for own, other in zip(ours, theirs, strict=True)]
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1)) if len(differences) > 1 else None
    reach = t_reach(spread, len(differences))
    own, other = (placements(*test.task(metric, np.mean(np.stack(seeds), axis=0))) for seeds in (ours, theirs))
    rows = auc_difference(own, other, confidence=CONFIDENCE)
    seeds = None if reach is None else (mean - reach, mean + reach)
    return {
        "difference": mean,
        "seeds": seeds,
        "of_means": rows.value,
        "rows": (rows.low, rows.high),
        "verdict": _verdict(seeds, rows.low, rows.high),
    }


def _verdict(seeds: tuple[float, float] | None, low: float, high: float) -> str:
    lows, highs = (low, *(seeds or ())[:1]), (high, *(seeds or ())[1:])
    return "better" if min(lows) > 0 else "worse" if max(highs) < 0 else "equal"
