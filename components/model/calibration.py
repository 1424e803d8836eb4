"""Probabilities brought to what happened: maps fitted on rows that the model has not trained on, kept among a checkpoint's tensors.

Platt: sigmoid(s logit(p) + b), two numbers (Platt 1999, with his smoothed targets: finite even where a threshold parts the outcomes).
Isotonic: the closest rising steps (Zadrozny and Elkan 2002), read between their edges by straight lines. Letters: N rows, K edges.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from torch import Tensor

Floats = NDArray[np.float64]
PREFIX = "calibration."
"""Names of the tensors that no network has: `calibration.pctr.platt` (s, b), `calibration.pcvr.isotonic` (2 x K: where, what)."""
CALIBRATED = ("pctr", "pcvr")
ENOUGH = 1000
"""Positives, and negatives, from which steps say more than two numbers."""
EPSILON = 1e-12


def fit(predicted_N: Floats, happened_N: Floats) -> tuple[str, Tensor]:
    """Return the method that so many outcomes (0 or not, at least one of each) allow, and its map.

    An outcome counts 1; more where it stands for others that are not known yet.
    """
    positives = np.count_nonzero(happened_N)
    fewer = min(positives, len(happened_N) - positives)
    return ("isotonic", isotonic(predicted_N, happened_N)) if fewer >= ENOUGH else ("platt", platt(predicted_N, happened_N))


def platt(predicted_N: Floats, happened_N: Floats) -> Tensor:
    """Return (s, b), float64, of the greatest likelihood, by Newton's method from the identity, within a trust region."""
    from scipy.optimize import minimize  # half a second that only fitting should pay for

    positives = np.count_nonzero(happened_N)
    negatives = len(happened_N) - positives
    target_N = np.where(happened_N > 0, happened_N * (positives + 1) / (positives + 2), 1 / (negatives + 2))
    read_N2 = np.stack([_logit(predicted_N), np.ones(len(predicted_N))], axis=1)

    def cost(values: Floats) -> float:
        read_N = read_N2 @ values
        return float((np.logaddexp(0, read_N) - target_N * read_N).mean())

    def slope(values: Floats) -> Floats:
        return np.asarray(read_N2.T @ (expit(read_N2 @ values) - target_N) / len(target_N))

    def curvature(values: Floats) -> Floats:
        now_N = expit(read_N2 @ values)
        return np.asarray((read_N2 * (now_N * (1 - now_N))[:, None]).T @ read_N2 / len(target_N))

    found = minimize(cost, (1.0, 0.0), jac=slope, hess=curvature, method="trust-exact", options={"gtol": 1e-9})
    return torch.from_numpy(np.asarray(found.x, np.float64))


def isotonic(predicted_N: Floats, happened_N: Floats) -> Tensor:
    """Return the edges of the steps and their rates, 2 x K, float64; no rate is nearer to 0 or 1 than one outcome in all rows tells."""
    from scipy.optimize import isotonic_regression

    where_K, place_N, count_K = np.unique(predicted_N, return_inverse=True, return_counts=True)
    rate_K = np.bincount(place_N, weights=happened_N) / count_K
    rising_K = np.asarray(isotonic_regression(rate_K, weights=count_K).x)
    least = 1 / (len(predicted_N) + 2)
    step_K = np.diff(rising_K) != 0
    edges_K = np.append(True, step_K) | np.append(step_K, True)  # the first and the last are edges
    return torch.from_numpy(np.stack([where_K[edges_K], rising_K[edges_K].clip(least, 1 - least)]))


def calibrated(probabilities: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return pctr, pcvr and their product (float64) as a checkpoint's tensors map them; unchanged where it has no maps. Can be traced."""
    found = dict(probabilities)
    for name in CALIBRATED:
        if (straight := tensors.get(f"{PREFIX}{name}.platt")) is not None:
            found[name] = (straight[0] * found[name].logit(EPSILON) + straight[1]).sigmoid()
        if (steps := tensors.get(f"{PREFIX}{name}.isotonic")) is not None:
            found[name] = _interpolated(found[name], steps[0], steps[1])
    return {**found, "pctcvr": found["pctr"] * found["pcvr"]} if has_maps(tensors) else found


def _interpolated(x_N: Tensor, where_K: Tensor, what_K: Tensor) -> Tensor:
    """Return what numpy.interp does."""
    if where_K.shape[0] == 1:
        return what_K.expand_as(x_N)
    right_N = torch.searchsorted(where_K, x_N).clamp(1, where_K.shape[0] - 1)
    low_N, high_N = where_K[right_N - 1], where_K[right_N]
    share_N = ((x_N - low_N) / (high_N - low_N)).clamp(0, 1)
    return torch.lerp(what_K[right_N - 1], what_K[right_N], share_N)


def has_maps(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint's tensors hold a calibration."""
    return any(name.startswith(PREFIX) for name in tensors)


def without_maps(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the network alone."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(PREFIX)}


def field_calibration_error(predicted_N: Floats, happened_N: Floats, values_N: NDArray[np.int64]) -> float:
    """Return sum over a field's values of |sum of predictions - sum of outcomes|, a row (Pan et al. 2020, WWW, arXiv:1905.10713)."""
    return float(np.abs(np.bincount(values_N, weights=predicted_N - happened_N)).sum() / len(predicted_N))


def _logit(predicted_N: Floats) -> Floats:
    """Return finite log-odds whatever the probability."""
    return np.asarray(logit(predicted_N.clip(EPSILON, 1 - EPSILON)))
