"""Exact AUC, its DeLong interval, and the paired difference of two models' AUCs on the same rows.

An AUC is the probability that a positive outranks a negative, a tie counting one half. It is exact: counts of whole ranks, no bins.
DeLong's variance (DeLong et al. 1988) is that of the two sets of placements, which come from mid-ranks in O(n log n), as in Sun & Xu
(2014). Sorting scores is several times as fast as finding their order, and negatives between the same two positives are placed alike:
an AUC and its interval need the sorted scores and the counts of such runs; only a paired difference needs each negative's own place.
P positives, Q negatives, N = P + Q rows, D distinct scores of positives, G = 2 D + 1 runs of negatives.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from components.errors import UndefinedMetricError

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Placements:
    """How each row is placed among the rows of the other class: DeLong's structural components."""

    auc: float
    of_positives: Floats
    """float64[P]: share of the negatives that each positive outranks, in the rows' order."""
    runs: "Runs"
    score_Q: Floats

    @cached_property
    def of_negatives(self) -> Floats:
        """float64[Q]: share of the positives that outrank each negative, in the rows' order."""
        placed_Q = np.empty(len(self.score_Q))
        placed_Q[np.argsort(self.score_Q)] = np.repeat(self.runs.place_G, self.runs.size_G)
        return placed_Q


@dataclass(frozen=True)
class Runs:
    """The negatives by ascending score, in runs that equally many positives outrank."""

    size_G: NDArray[np.int64]
    place_G: Floats

    def variance(self) -> float:
        """Return the variance of the negatives' placements, with Q - 1 in the denominator."""
        negatives = int(self.size_G.sum())
        mean = float(self.size_G @ self.place_G) / negatives
        return float(self.size_G @ np.square(self.place_G - mean)) / (negatives - 1)


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
    score_P, score_Q = score_N[positive_N], score_N[~positive_N]
    order_P, sorted_Q = np.argsort(score_P), np.sort(score_Q)
    sorted_P = score_P[order_P]
    below_P, through_P = (np.searchsorted(sorted_Q, sorted_P, side) for side in ("left", "right"))
    twice_P = np.empty_like(below_P)
    twice_P[order_P] = below_P + through_P
    auc = int(twice_P.sum()) / (2 * len(score_P) * len(score_Q))
    return Placements(auc, twice_P / (2 * len(score_Q)), _runs(sorted_P, below_P, through_P, len(score_Q)), score_Q)


def auc_interval(ranked: Placements, *, confidence: float) -> Auc:
    """Return the AUC with its DeLong interval, formed on the logit scale so that it keeps its coverage and its place near 1.

    Perfect separation has DeLong variance 0. Its bound is then the exact one: with an AUC of A, min(P, Q) independent pairs are all
    concordant with probability A ** min(P, Q), so A above (1 - confidence) / 2 to the power 1 / min(P, Q) is not refuted. Equal scores
    throughout have AUC 0.5 on every sample: their interval is [0.5, 0.5].
    """
    auc, positives, negatives = ranked.auc, len(ranked.of_positives), len(ranked.score_Q)
    if auc in (0.0, 1.0):
        bound = ((1 - confidence) / 2) ** (1 / min(positives, negatives))
        low, high = (bound, 1.0) if auc == 1.0 else (0.0, 1 - bound)
    else:
        error = math.sqrt(_variance(ranked.of_positives) + ranked.runs.variance() / negatives) / (auc * (1 - auc))
        logit, reach = math.log(auc / (1 - auc)), _quantile(confidence) * error
        low, high = min(_expit(logit - reach), auc), max(_expit(logit + reach), auc)
    return Auc(auc, low, high, positives, negatives)


def auc_difference(challenger: Placements, champion: Placements, *, confidence: float) -> Difference:
    """Return challenger's AUC minus champion's, both ranked on the same rows, with DeLong's interval for correlated AUCs.

    The variance of the paired placements' differences is DeLong's var + var - 2 cov. Equal rankings give exactly 0, interval [0, 0].
    """
    value = challenger.auc - champion.auc
    paired = _variance(challenger.of_positives - champion.of_positives) + _variance(challenger.of_negatives - champion.of_negatives)
    reach = _quantile(confidence) * math.sqrt(paired)
    return Difference(value, max(value - reach, -1.0), min(value + reach, 1.0))


def _runs(sorted_P: Floats, below_P: NDArray[np.int64], through_P: NDArray[np.int64], negatives: int) -> Runs:
    """Return the runs: the negatives below the lowest positive, those equal to it, those above it and below the next, and so on.

    below, through: how many negatives score less than each positive, and how many no more.
    """
    first_D = np.flatnonzero(np.diff(sorted_P, prepend=-np.inf))
    passed_D1 = np.append(first_D, len(sorted_P))  # positives below each distinct score
    ends_G = np.empty(2 * len(first_D) + 1, np.int64)
    ends_G[:-1:2], ends_G[1::2], ends_G[-1] = below_P[first_D], through_P[first_D], negatives
    twice_G = np.empty_like(ends_G)
    twice_G[::2], twice_G[1::2] = 2 * (len(sorted_P) - passed_D1), 2 * len(sorted_P) - passed_D1[1:] - first_D
    return Runs(np.diff(ends_G, prepend=0), twice_G / (2 * len(sorted_P)))


def _variance(placed_M: Floats) -> float:
    """Return the variance of the mean of placements."""
    return float(placed_M.var(ddof=1) / len(placed_M))


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
