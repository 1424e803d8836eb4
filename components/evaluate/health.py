"""Whether a model's scores are probabilities that tell rows apart at all."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components.evaluate.auc import Floats


@dataclass(frozen=True)
class Health:
    """What is wrong with one model's scores; nothing, when there are no faults."""

    finite: bool
    in_range: bool
    """Strictly between 0 and 1."""
    varying: bool
    """Not one constant over two rows or more."""
    faults: tuple[str, ...]
    """One sentence each, with the numbers."""


def check_scores(scores: Mapping[str, Floats]) -> Health:
    """Check each of a model's score columns, name -> one score per row."""
    finite = {name: _not_finite(name, score_N) for name, score_N in scores.items()}
    in_range = {name: _out_of_range(name, score_N) for name, score_N in scores.items()}
    varying = {name: _constant(name, score_N) for name, score_N in scores.items()}
    faults = tuple(fault for found in (finite, in_range, varying) for fault in found.values() if fault)
    return Health(not any(finite.values()), not any(in_range.values()), not any(varying.values()), faults)


def _not_finite(name: str, score_N: Floats) -> str:
    found = int(np.count_nonzero(~np.isfinite(score_N)))
    return f"{name} is NaN or infinite in {found} of {len(score_N)} rows" if found else ""


def _out_of_range(name: str, score_N: Floats) -> str:
    known = score_N[np.isfinite(score_N)]
    found = int(np.count_nonzero((known <= 0) | (known >= 1)))
    return f"{name} is outside (0, 1) in {found} of {len(score_N)} rows: {known.min():.6g} to {known.max():.6g}" if found else ""


def _constant(name: str, score_N: Floats) -> str:
    constant = len(score_N) > 1 and bool(np.all(score_N == score_N[0]))
    return f"{name} is {score_N[0]:.6g} in all {len(score_N)} rows" if constant else ""
