"""What every loss is, and what those share that have one tower for clicks and one for conversions given a click.

Letters: B samples. Labels are 0 or 1 in float32, by column: `clicked`, `acted` (a click that a cart or wish list followed) and
`converted` (a click that a purchase followed).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from components.model.losses.likelihood import log_pctcvr
from components.model_settings import Model

Logits = Mapping[str, Tensor]
Labels = Mapping[str, Tensor]
KNOWN_SHARE = "known_share"
"""Column of the samples: the share of its conversions that a row's label shows yet."""
Outcomes = dict[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Loss:
    """The towers, their loss and what is predicted from them."""

    tasks: tuple[str, ...]
    """Names of the towers; `ctr` is one of them, and the first."""
    labels: tuple[str, ...]
    """Columns that `terms` and `outcomes` read; with `model.age_corrected` also known_share."""
    outcomes: Callable[[Labels], Outcomes]
    """By task, what its tower predicts and among which impressions, both 0 or 1."""
    terms: Callable[[Logits, Labels, Model], dict[str, Tensor]]
    """Each weighted term of the loss, a mean over all impressions, by name."""
    probabilities: Callable[[Logits], dict[str, Tensor]]
    """pctr, pcvr and pctcvr, where pctcvr is pctr * pcvr."""


def known_share(labels: Labels, options: Model) -> Tensor | None:
    """Return known_share_B where the loss corrects for the age of the labels."""
    return labels[KNOWN_SHARE] if options.age_corrected else None


def bias_of_rate(happened_B: Tensor, among_B: Tensor) -> float:
    """Return the log-odds of a rate smoothed by one event and one event that did not happen: finite whatever happened."""
    events, chances = (happened_B * among_B).sum(dtype=torch.float64).item(), among_B.sum(dtype=torch.float64).item()
    rate = (events + 1) / (chances + 2)
    return math.log(rate / (1 - rate))


def pair_outcomes(labels: Labels) -> Outcomes:
    """Return what `ctr` and `cvr` predict: a click among all, a conversion among the clicked."""
    return {"ctr": (labels["clicked"], torch.ones_like(labels["clicked"])), "cvr": (labels["converted"], labels["clicked"])}


def pair_probabilities(logits: Logits) -> dict[str, Tensor]:
    """Return the probabilities of the towers `ctr` and `cvr`."""
    a_B, b_B = logits["ctr"], logits["cvr"]
    return {"pctr": a_B.sigmoid(), "pcvr": b_B.sigmoid(), "pctcvr": log_pctcvr(a_B, b_B).exp()}
