"""Exact AUC, its DeLong interval, and the paired difference of two models' AUCs on the same rows.

An AUC is the probability that a positive outranks a negative, a tie counting one half. It is exact: counts of whole ranks, no bins.
DeLong's variance (DeLong et al. 1988) is that of the two sets of placements, which come from mid-ranks by one sort, O(n log n), as in
Sun & Xu (2014). P positives, Q negatives, N = P + Q rows.
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
    outranked_N = _twice_outranked(positive_N, score_N)
    positives, negatives = outranked_N[positive_N], outranked_N[~positive_N]
    auc = int(positives.sum()) / (2 * len(positives) * len(negatives))
    return Placements(auc, positives / (2 * len(negatives)), 1 - negatives / (2 * len(positives)))


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


def _twice_outranked(positive_N: Booleans, score_N: Floats) -> NDArray[np.int64]:
    """Return, for each row, twice the other class's rows below it plus those equal to it: whole numbers, so exact. G groups of ties."""
    order_N = np.argsort(score_N)
    sorted_N, sorted_positive_N = score_N[order_N], positive_N[order_N]
    first_N = np.concatenate(([True], sorted_N[1:] != sorted_N[:-1]))
    group_N, start_G = np.cumsum(first_N) - 1, np.flatnonzero(first_N)
    positives_G = np.add.reduceat(sorted_positive_N, start_G, dtype=np.int64)
    negatives_G = np.diff(start_G, append=len(score_N)) - positives_G
    below_positive_G = 2 * np.cumsum(negatives_G) - negatives_G
    below_negative_G = 2 * np.cumsum(positives_G) - positives_G
    twice_N = np.empty(len(score_N), dtype=np.int64)
    twice_N[order_N] = np.where(sorted_positive_N, below_positive_G[group_N], below_negative_G[group_N])
    return twice_N


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
