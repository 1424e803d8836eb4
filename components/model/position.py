"""The position tower: what an impression's place adds to the click's logit (Zhao et al. 2019, RecSys).

Of one input that is a number from a few, any shallow tower is a table with one logit each. The place is known in training and
missing when scoring; rows that lose theirs in training (`model.position_dropout`) teach what a missing one stands for.
"""

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from components.model.encoding import Ids


class PositionTower(nn.Module):
    """A logit for each place; 0 is a missing one."""

    def __init__(self, buckets: int) -> None:
        """Tell so many places apart, the missing one included."""
        super().__init__()
        self.logits = nn.Embedding(buckets, 1)

    def forward(self, places_B: Tensor) -> Tensor:
        """Return what each place adds to the click's logit, (B,)."""
        added_B: Tensor = self.logits(places_B).squeeze(-1)
        return added_B

    def initialise(self) -> None:
        """Start with places that make no difference."""
        nn.init.zeros_(self.logits.weight)


def places(positions: pl.Series, buckets: int) -> Ids:
    """Return 1 + position, at most buckets - 1; 0 for null."""
    shifted: Ids = positions.cast(pl.Int64).clip(0, buckets - 2).fill_null(-1).to_numpy() + np.int64(1)
    return shifted


def missing_places(rows: int) -> Tensor:
    """Return the places of so many rows whose positions are not known."""
    return torch.zeros(rows, dtype=torch.int64)
