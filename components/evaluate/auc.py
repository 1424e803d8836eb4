"""Exact AUC, its DeLong interval, and the paired difference of two models' AUCs on the same rows.

An AUC is the probability that a positive outranks a negative, a tie counting one half. It is exact: counts of whole ranks, no bins.
DeLong's variance (DeLong et al. 1988) is that of the two sets of placements; here each placement is found by binary search in the other
class's sorted scores, which gives the mid-ranks of Sun & Xu (2014) in the same O(n log n). P positives, Q negatives, N = P + Q rows.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from components.errors import UndefinedMetricError

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Placements:
    """How each row is placed among the rows of the other class, in the rows' order: DeLong's structural components."""

    auc: float
    of_positives: Floats
    """float64[P]: share of the negatives that each positive outranks."""
    of_negatives: Floats
    """float64[Q]: share of the positives that outrank each negative."""


@dataclass(frozen=True)
class Auc:
    """An AUC, its two-sided interval and the rows behind it."""

    value: float
    low: float
    high: float
    positives: int
    negatives: int


@dataclass(frozen=True)
class Difference:
    """Challenger's AUC minus champion's on the same rows, and its two-sided interval."""

    value: float
    low: float
    high: float


def placements(positive_N: Booleans, score_N: Floats, *, min_positives: int = 2) -> Placements:
    """Rank the rows by score; raises UndefinedMetricError for fewer than `min_positives` of either class or a score that is not finite."""
    _require_both_classes(positive_N, min_positives)
    _require_finite(score_N)
    positive_P, negative_Q = score_N[positive_N], score_N[~positive_N]
    below_P = _twice_outranked(np.sort(negative_Q), positive_P)
    below_Q = _twice_outranked(np.sort(positive_P), negative_Q)
    auc = int(below_P.sum()) / (2 * len(positive_P) * len(negative_Q))
    return Placements(auc, below_P / (2 * len(negative_Q)), 1 - below_Q / (2 * len(positive_P)))


def auc_interval(ranked: Placements, *, confidence: float) -> Auc:
    """Return the AUC with its DeLong interval, formed on the logit scale so that it keeps its coverage and its place near 1.

    Perfect separation has DeLong variance 0. Its bound is then the exact one: with an AUC of A, min(P, Q) independent pairs are all
    concordant with probability A ** min(P, Q), so A above (1 - confidence) / 2 to the power 1 / min(P, Q) is not refuted. Equal scores
    throughout have AUC 0.5 on every sample: their interval is [0.5, 0.5].
    """
    auc, positives, negatives = ranked.auc, len(ranked.of_positives), len(ranked.of_negatives)
    if auc in (0.0, 1.0):
        bound = ((1 - confidence) / 2) ** (1 / min(positives, negatives))
        low, high = (bound, 1.0) if auc == 1.0 else (0.0, 1 - bound)
    else:
        error = math.sqrt(_variance(ranked.of_positives, ranked.of_negatives)) / (auc * (1 - auc))
        logit, reach = math.log(auc / (1 - auc)), _quantile(confidence) * error
        low, high = min(_expit(logit - reach), auc), max(_expit(logit + reach), auc)
    return Auc(auc, low, high, positives, negatives)


def auc_difference(challenger: Placements, champion: Placements, *, confidence: float) -> Difference:
    """Return challenger's AUC minus champion's, both ranked on the same rows, with DeLong's interval for correlated AUCs.

    The variance of the paired placements' differences is DeLong's var + var - 2 cov. Equal rankings give exactly 0, interval [0, 0].
    """
    value = challenger.auc - champion.auc
    paired = _variance(challenger.of_positives - champion.of_positives, challenger.of_negatives - champion.of_negatives)
    reach = _quantile(confidence) * math.sqrt(paired)
    return Difference(value, max(value - reach, -1.0), min(value + reach, 1.0))


def _twice_outranked(sorted_M: Floats, score_K: Floats) -> NDArray[np.int64]:
    """Return, for each score, twice the number of sorted scores below it plus the number equal to it: whole, so exact."""
    return np.searchsorted(sorted_M, score_K, side="left") + np.searchsorted(sorted_M, score_K, side="right")


def _variance(placed_P: Floats, placed_Q: Floats) -> float:
    return float(placed_P.var(ddof=1) / len(placed_P) + placed_Q.var(ddof=1) / len(placed_Q))


def _require_both_classes(positive_N: Booleans, min_positives: int) -> None:
    positives = int(np.count_nonzero(positive_N))
    needed = max(min_positives, 2)  # one row of a class has no variance
    for name, found in (("positives", positives), ("negatives", len(positive_N) - positives)):
        if found < needed:
            raise UndefinedMetricError(f"AUC: expected at least {needed} {name}, found {found} of {len(positive_N)} rows")


def _require_finite(score_N: Floats) -> None:
    if faults := int(np.count_nonzero(~np.isfinite(score_N))):
        raise UndefinedMetricError(f"AUC: expected finite scores, found {faults} of {len(score_N)} NaN or infinite")


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
