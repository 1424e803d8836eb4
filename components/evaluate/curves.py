"""ROC curves, thinned for plots."""

import numpy as np

from components.evaluate.auc import Booleans, Floats

POINTS = 200


def roc_curve(positive_N: Booleans, score_N: Floats, *, points: int = POINTS) -> dict[str, list[float]] | None:
    """Return at most `points` true points of the curve, from (0, 0) to (1, 1), evenly spread along it; None where it has no points.

    A point stands for a threshold: fpr and tpr are the shares of negatives and positives scored at it or above.
    """
    positives, finite = int(np.count_nonzero(positive_N)), bool(np.isfinite(score_N).all())
    if not finite or not 0 < positives < len(positive_N):
        return None
    order_N = np.argsort(score_N)[::-1]
    last_of_tie = np.append(np.flatnonzero(np.diff(score_N[order_N])), len(score_N) - 1)
    true_T = np.cumsum(positive_N[order_N])[last_of_tie]
    false_T = last_of_tie + 1 - true_T
    tpr, fpr = np.append(0, true_T / positives), np.append(0, false_T / (len(positive_N) - positives))
    length = tpr + fpr
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], points))) if len(length) > points else np.arange(len(length))
    return {"fpr": fpr[kept].tolist(), "tpr": tpr[kept].tolist()}
