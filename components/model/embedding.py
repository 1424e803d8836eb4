"""Embedding lookups over one table: a gather for the single fields, a segment sum for the lists.

Letters: B samples, S single fields, L list fields, E list entries, R rows of a table, W embedding width, D = (S + L) * W.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from components.model.encoding import Encoded, Ids, Layout


def embed(table_RW: Tensor, samples: Encoded, layout: Layout) -> Tensor:
    """Return x_BD: each sample's embeddings, the single fields first, then the pooled lists; an empty list is zeros."""
    singles_BSW = functional.embedding(torch.from_numpy(samples.ids_NS), table_RW)
    if not layout.lists:
        return singles_BSW.flatten(start_dim=1)
    offsets = torch.from_numpy(samples.offsets_NL)
    pooled_BLW = functional.embedding_bag(torch.from_numpy(samples.values_E), table_RW, offsets[:-1], mode="sum").view(
        len(samples), len(layout.lists), -1
    )
    if any(field.pooling == "mean" for field in layout.lists):
        pooled_BLW = pooled_BLW * _mean_scale(offsets, layout).view(len(samples), -1, 1)
    return torch.cat([singles_BSW, pooled_BLW], dim=1).flatten(start_dim=1)


def _mean_scale(offsets: Tensor, layout: Layout) -> Tensor:
    """Return, per sample and list, 1 / entries where the field takes the mean and 1 where it takes the sum."""
    means_L = torch.tensor([field.pooling == "mean" for field in layout.lists])
    lengths_BL = offsets.diff().clamp(min=1).view(-1, len(layout.lists))
    return torch.where(means_L, 1.0 / lengths_BL, 1.0)


@dataclass(frozen=True)
class Touched:
    """The distinct rows of a batch, and the batch renumbered to index them."""

    rows_U: Ids
    samples: Encoded


class RowIndex:
    """Finds the distinct rows of a batch, in time linear in the batch."""

    def __init__(self, rows: int) -> None:
        """Serve a table of so many rows (4 bytes each)."""
        self._slot_R: NDArray[np.int32] = np.zeros(rows, np.int32)

    def touched(self, samples: Encoded) -> Touched:
        """Return the distinct rows, in the order of a position of theirs in the batch, and the batch in terms of them."""
        ids = np.concatenate([samples.ids_NS.ravel(), samples.values_E])
        positions = np.arange(len(ids), dtype=np.int32)
        self._slot_R[ids] = positions  # of a row's several positions one stays
        rows_U = ids[self._slot_R[ids] == positions]
        self._slot_R[rows_U] = np.arange(len(rows_U), dtype=np.int32)
        places = self._slot_R[ids].astype(np.int64)
        single = samples.ids_NS.size
        renumbered = Encoded(places[:single].reshape(samples.ids_NS.shape), places[single:], samples.offsets_NL)
        return Touched(rows_U, renumbered)
