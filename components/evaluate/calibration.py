"""How far predicted probabilities are from what happened: log loss, PCOC and reliability bins.

Each is None (JSON null) where it has no value; none is ever replaced by a number.
"""

import math
from typing import Any

import numpy as np

from components.evaluate.auc import Booleans, Floats

BINS = 10


def log_loss(positive_N: Booleans, score_N: Floats) -> float | None:
    """Return the mean negative log likelihood in nats; None without rows, or with a score that is not strictly between 0 and 1."""
    if not len(score_N) or not bool(np.all((score_N > 0) & (score_N < 1))):
        return None
    likelihood_N = np.where(positive_N, np.log(score_N), np.log1p(-score_N))
    return float(-likelihood_N.mean())


def pcoc(positive_N: Booleans, score_N: Floats) -> float | None:
    """Return predicted over observed positives, sum p / sum y (1 is calibrated); None without positives or with a score not finite."""
    observed, predicted = int(np.count_nonzero(positive_N)), float(score_N.sum())
    return predicted / observed if observed and math.isfinite(predicted) else None


def reliability(positive_N: Booleans, score_N: Floats, *, bins: int = BINS) -> dict[str, Any]:
    """Return bins of about equally many rows, by ascending score, and their ECE: the mean |predicted - observed| weighted by rows.

    Equal scores share a bin, so the answer does not depend on the rows' order, and there may be fewer bins than asked for.
    """
    if not len(score_N) or not bool(np.isfinite(score_N).all()):
        return {"bins": [], "ece": None}
    inner_edges = np.unique(np.quantile(score_N, np.arange(1, bins) / bins))
    bin_N = np.searchsorted(inner_edges, score_N, side="left")
    rows_B = np.bincount(bin_N, minlength=len(inner_edges) + 1)
    predicted_B = np.bincount(bin_N, weights=score_N, minlength=len(rows_B))
    positives_B = np.bincount(bin_N, weights=positive_N, minlength=len(rows_B))
    found = [
        {"rows": int(rows), "positives": int(positives), "predicted": float(predicted / rows), "observed": float(positives / rows)}
        for rows, predicted, positives in zip(rows_B, predicted_B, positives_B, strict=True)
        if rows
    ]
    ece = float(np.abs(predicted_B - positives_B).sum() / len(score_N))
    return {"bins": found, "ece": ece}
