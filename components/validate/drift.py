"""How far a column's distribution is from that of other days.

Population stability index = sum over bins of (p - q) ln(p / q), p the day's share of a bin and q the mean share of the others (Siddiqi
2006). Jensen-Shannon divergence = the mean of both distributions' relative entropies to their mean, in bits, 0 to 1 (Lin 1991).
"""

import math
from collections.abc import Sequence

from components.validate.histograms import Histogram

_BIN = 0.01
_FLOOR = 0.001


def stability_index(day: Histogram, before: Sequence[Histogram]) -> float:
    """Return the PSI of a day against the mean of the days before, at least one. An empty bin counts as 0.1 %."""
    return math.fsum(_stability_term(max(p, _FLOOR), max(q, _FLOOR)) for p, q in _pair_bins(day, before))


def divergence(day: Histogram, before: Sequence[Histogram]) -> float:
    """Return the Jensen-Shannon divergence of a day and the mean of the days before, at least one."""
    return max(math.fsum(_entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2 for p, q in _pair_bins(day, before)), 0.0)


def new_share(day: Histogram, before: Sequence[Histogram]) -> float:
    """Return the share of the day's rows whose value is common, at 1 % of the rows, and was on none of the days before at 0.5 %."""
    known = {label for histogram in before for label, _ in histogram}
    return math.fsum(share for label, share in day if share >= _BIN and label not in known)


def _pair_bins(day: Histogram, before: Sequence[Histogram]) -> list[tuple[float, float]]:
    """Return the shares of the bins: the labels with 1 % of the rows, on the day or in the mean; the rest is one more."""
    current = dict(day)
    reference: dict[str | None, float] = {}
    for histogram in before:
        for label, share in histogram:
            reference[label] = reference.get(label, 0.0) + share / len(before)
    both = ((current.get(label, 0.0), reference.get(label, 0.0)) for label in current.keys() | reference.keys())
    pairs = [pair for pair in both if max(pair) >= _BIN]
    rest = (max(1 - math.fsum(share for share, _ in pairs), 0.0), max(1 - math.fsum(share for _, share in pairs), 0.0))
    return [*pairs, rest]


def _stability_term(p: float, q: float) -> float:
    return (p - q) * math.log(p / q)


def _entropy(share: float) -> float:
    return -share * math.log2(share) if share > 0 else 0.0
