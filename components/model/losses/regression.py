"""Regression heads: one more tower that predicts a number, such as dwell time or a rating, where there is one."""

import torch
from torch import Tensor


def squared_error(predicted_B: Tensor, value_B: Tensor) -> Tensor:
    """Return the sum of (predicted - value)^2 over the rows that have a value, divided by all rows. A value of NaN is none."""
    return torch.where(value_B.isnan(), 0.0, predicted_B - value_B).square().mean()


def mean(value_B: Tensor) -> float:
    """Return the mean of the values that are there; 0 where there is none."""
    known = value_B[~value_B.isnan()]
    return known.mean(dtype=torch.float64).item() if len(known) else 0.0
