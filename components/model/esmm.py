"""ESMM: shared embeddings, a click tower and a conversion tower, trained over all impressions (arXiv:1804.07931).

Letters: B samples, R rows of the embedding table, W embedding width, D = fields * W.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from components.model.encoding import Layout
from components.model.losses import ctcvr_loss, ctr_loss, masked_cvr_loss
from components.settings import Model

_EMBEDDING_STD = 0.01
"""From 0.001 to 0.05 the real sets' AUCs agree within seed noise."""


@dataclass(frozen=True)
class BaseRates:
    """Click rate of impressions and conversion rate of clicks, both strictly between 0 and 1."""

    ctr: float
    cvr: float


class Esmm(nn.Module):
    """The embedding table and the two towers. The table is a buffer: it never has a gradient, only rows taken from it do."""

    table: Tensor

    def __init__(self, layout: Layout, options: Model) -> None:
        """Allocate; `initialise` or `load_state_dict` gives values."""
        super().__init__()
        width = options.embedding_width * len(layout.fields)
        self.register_buffer("table", torch.empty(layout.rows, options.embedding_width))
        self.ctr_tower = tower(width, options.hidden)
        self.cvr_tower = tower(width, options.hidden)

    def forward(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return (ctr_logit_B, cvr_logit_B) for concatenated embeddings."""
        return self.ctr_tower(x_BD).squeeze(-1), self.cvr_tower(x_BD).squeeze(-1)

    def initialise(self, generator: Generator, rates: BaseRates) -> None:
        """Draw small embeddings and He-uniform towers whose output biases are the base log-odds (a tower starts calibrated)."""
        self.table.normal_(std=_EMBEDDING_STD, generator=generator)
        for layers, rate in ((self.ctr_tower, rates.ctr), (self.cvr_tower, rates.cvr)):
            linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
            for linear in linears:
                nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(linear.bias)
            nn.init.constant_(linears[-1].bias, math.log(rate / (1 - rate)))


def tower(width: int, hidden: tuple[int, ...]) -> nn.Sequential:
    """Return `width`-hidden-...-1 with ReLU between."""
    sizes = (width, *hidden)
    layers = [layer for before, after in pairwise(sizes) for layer in (nn.Linear(before, after), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 1))


def losses(logits: tuple[Tensor, Tensor], clicked_B: Tensor, converted_B: Tensor, options: Model) -> dict[str, Tensor]:
    """Return each weighted term of the loss by name; their sum is what is minimised."""
    a_B, b_B = logits
    terms = {
        "ctr": options.ctr_weight * ctr_loss(a_B, clicked_B),
        "ctcvr": options.ctcvr_weight * ctcvr_loss(a_B, b_B, converted_B),
    }
    if options.masked_cvr_weight:
        terms["masked_cvr"] = options.masked_cvr_weight * masked_cvr_loss(b_B, clicked_B, converted_B)
    return terms
