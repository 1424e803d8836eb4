"""Embedding lookups over one table: a gather for the single fields, a segment sum for the lists.

Letters: B samples, S single fields, L list fields, F = S + L fields, E list entries, R rows of a table, W embedding width.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from components.model.encoding import Encoded, Ids, Layout


@dataclass(frozen=True)
class Embedded:
    """A batch's embeddings: pooled, and the entries of its lists one by one for those who read them."""

    x_BFW: Tensor
    """The single fields first, then the pooled lists; an empty list is zeros."""
    table_RW: Tensor
    samples: Encoded
    layout: Layout

    def entries(self) -> Tensor:
        """Return entries_EW: the list entries in the order of samples.values_E, as they are before pooling."""
        return functional.embedding(torch.from_numpy(self.samples.values_E), self.table_RW)

    def pool(self, entries_EV: Tensor) -> Tensor:
        """Return pooled_BLV: the sums of each list's entries, whatever the field's pooling; an empty list is zeros."""
        offsets = torch.from_numpy(self.samples.offsets_NL)
        summed = functional.embedding_bag(torch.arange(len(entries_EV)), entries_EV, offsets[:-1], mode="sum")
        return summed.view(len(self.samples), len(self.layout.lists), -1)

    def entry_weights(self) -> Tensor:
        """Return weights_BL1: what each entry of a list counts in x_BFW, 1 or, where the field takes the mean, 1 / entries."""
        return _entry_weights(torch.from_numpy(self.samples.offsets_NL), self.layout)


def embed(table_RW: Tensor, samples: Encoded, layout: Layout) -> Embedded:
    """Look up each sample's fields."""
    singles_BSW = functional.embedding(torch.from_numpy(samples.ids_NS), table_RW)
    if not layout.lists:
        return Embedded(singles_BSW, table_RW, samples, layout)
    offsets = torch.from_numpy(samples.offsets_NL)
    pooled_BLW = functional.embedding_bag(torch.from_numpy(samples.values_E), table_RW, offsets[:-1], mode="sum").view(
        len(samples), len(layout.lists), -1
    )
    if any(field.pooling == "mean" for field in layout.lists):
        pooled_BLW = pooled_BLW * _entry_weights(offsets, layout)
    return Embedded(torch.cat([singles_BSW, pooled_BLW], dim=1), table_RW, samples, layout)


def _entry_weights(offsets: Tensor, layout: Layout) -> Tensor:
    means_L = torch.tensor([field.pooling == "mean" for field in layout.lists])
    lengths_BL = offsets.diff().clamp(min=1).view(-1, len(layout.lists))
    return torch.where(means_L, 1.0 / lengths_BL, 1.0).unsqueeze(-1)


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
