"""Embedding lookups over one table: a gather for the single fields, a segment sum for the lists, and the gradient of both.

torch's own gradient of a lookup adds one entry after the other. Here the entries are sorted by row, and one segment sum adds those of each
row, in the order of the batch: a fifth of the time.

Letters: B samples, S single fields, L list fields, F = S + L fields, E list entries, P places of a lookup, R rows of a table, U distinct
rows of a batch, W embedding width.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from components.model.encoding import Encoded, Ids, Layout
from components.model_fields import Side


@dataclass(frozen=True)
class Embedded:
    """A batch's embeddings: pooled, and the entries of its lists one by one for those who read them."""

    x_BFW: Tensor
    """The single fields first, then the pooled lists; an empty list is zeros."""
    table_RW: Tensor
    samples: Encoded
    layout: Layout
    weights_E1: Tensor | None = None
    """What attention lets each list entry count, where it has."""

    def flat(self) -> Tensor:
        """Return x_BD, D = F * W: all fields side by side, in the precision of the layers that read them."""
        x_BD = self.x_BFW.flatten(start_dim=1)
        return x_BD.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else x_BD

    def entries(self) -> Tensor:
        """Return entries_EW: the list entries in the order of samples.values_E, weighted by attention, as they are before pooling."""
        entries_EW = look_up(self.table_RW, torch.from_numpy(self.samples.values_E))
        return entries_EW if self.weights_E1 is None else entries_EW * self.weights_E1

    def owners(self) -> tuple[Tensor, Tensor]:
        """Return samples_E and lists_E: the number of the sample and of the list field that each list entry belongs to."""
        lengths_BL = torch.from_numpy(self.samples.offsets_NL).diff()
        segments_E = torch.arange(len(lengths_BL)).repeat_interleave(lengths_BL)
        lists = len(self.layout.lists)
        return segments_E // lists, segments_E % lists

    def weighted(self, weights_E1: Tensor) -> "Embedded":
        """Return the same batch, its lists pooled from entries that count so much."""
        weighted = replace(self, weights_E1=weights_E1)
        pooled_BLW = weighted.pool(weighted.entries()) * self.entry_weights()
        return replace(weighted, x_BFW=torch.cat([self.x_BFW[:, : len(self.layout.singles)], pooled_BLW], dim=1))

    def pool(self, entries_EV: Tensor) -> Tensor:
        """Return pooled_BLV: the sums of each list's entries, whatever the field's pooling; an empty list is zeros."""
        offsets = torch.from_numpy(self.samples.offsets_NL)
        summed = functional.embedding_bag(torch.arange(len(entries_EV)), entries_EV, offsets[:-1], mode="sum")
        return summed.view(len(self.samples), len(self.layout.lists), -1)

    def of_side(self, side: Side) -> Tensor:
        """Return x_BD: the fields of one side, side by side, in the order of x_BFW."""
        places = [place for place, field in enumerate(self.layout.ordered) if field.side == side]
        return self.x_BFW.index_select(1, torch.tensor(places, dtype=torch.int64)).flatten(start_dim=1)

    def sequence(self, name: str) -> tuple[Tensor, Tensor]:
        """Return entries_BTW of a list field, the last first, and live_BT: whether there is an entry. T is the longest, at least 1."""
        place = [field.name for field in self.layout.lists].index(name)
        offsets_BL = torch.from_numpy(self.samples.offsets_NL)[:-1].view(len(self.samples), -1)
        lengths_B1 = torch.from_numpy(self.samples.offsets_NL).diff().view_as(offsets_BL)[:, [place]]
        steps_T = torch.arange(max(int(lengths_B1.max()), 1) if len(lengths_B1) else 1)
        live_BT = steps_T < lengths_B1
        places_BT = torch.where(live_BT, offsets_BL[:, [place]] + lengths_B1 - 1 - steps_T, len(self.samples.values_E))
        rows_BT = torch.from_numpy(np.append(self.samples.values_E, 0))[places_BT]
        return look_up(self.table_RW, rows_BT), live_BT

    def entry_weights(self) -> Tensor:
        """Return weights_BL1: what each entry of a list counts in x_BFW, 1 or, where the field takes the mean, 1 / entries."""
        return _entry_weights(torch.from_numpy(self.samples.offsets_NL), self.layout)


def embed(table_RW: Tensor, samples: Encoded, layout: Layout, by_row: "ByRow | None" = None) -> Embedded:
    """Look up each sample's fields. by_row: the order of the lookups, where it is known already: the gradient needs it."""
    means = any(field.pooling == "mean" for field in layout.lists)
    weights_BL1 = _entry_weights(torch.from_numpy(samples.offsets_NL), layout) if means else None
    x_BFW = _Embed.apply(table_RW, samples, len(layout.lists), weights_BL1, by_row)  # type: ignore[no-untyped-call]  # torch's own
    return Embedded(x_BFW, table_RW, samples, layout)


def look_up(table_RW: Tensor, places: Tensor) -> Tensor:
    """Return the rows at these places, of any shape, as (..., W)."""
    found: Tensor = _LookUp.apply(table_RW, places)  # type: ignore[no-untyped-call]  # torch's own
    return found


class _Embed(torch.autograd.Function):
    """The rows of the single fields beside the weighted sums of those of the lists, as x_BFW."""

    @staticmethod
    def forward(ctx: Any, table_RW: Tensor, samples: Encoded, lists: int, weights_BL1: Tensor | None, by_row: "ByRow | None") -> Tensor:
        ctx.samples, ctx.lists, ctx.weights_BL1, ctx.by_row, ctx.rows = samples, lists, weights_BL1, by_row, len(table_RW)
        singles_BSW = functional.embedding(torch.from_numpy(samples.ids_NS), table_RW)
        if not lists:
            return singles_BSW
        sums = _summed(table_RW, torch.from_numpy(samples.values_E), torch.from_numpy(samples.offsets_NL))
        pooled_BLW = sums.view(len(samples), lists, sums.shape[1])
        return torch.cat([singles_BSW, pooled_BLW if weights_BL1 is None else pooled_BLW * weights_BL1], dim=1)

    @staticmethod
    def backward(ctx: Any, gradient_BFW: Tensor) -> tuple[Tensor, None, None, None, None]:
        if ctx.weights_BL1 is not None:
            singles_BSW, pooled_BLW = torch.split(gradient_BFW, [gradient_BFW.shape[1] - ctx.lists, ctx.lists], dim=1)
            gradient_BFW = torch.cat([singles_BSW, pooled_BLW * ctx.weights_BL1], dim=1)
        by_row = ctx.by_row or _by_row(ctx.samples, ctx.rows)
        flat = gradient_BFW.reshape(-1, gradient_BFW.shape[-1])
        return _summed(flat, torch.from_numpy(by_row.vectors_P), torch.from_numpy(by_row.ends_R1)), None, None, None, None


class _LookUp(torch.autograd.Function):
    """Rows of a table."""

    @staticmethod
    def forward(ctx: Any, table_RW: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.rows = len(table_RW)
        return functional.embedding(places, table_RW)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows_P = ctx.saved_tensors[0].flatten().numpy()
        _, order_P = _sorted(rows_P)
        return _summed(gradient.reshape(-1, gradient.shape[-1]), torch.from_numpy(order_P), torch.from_numpy(_ends(rows_P, ctx.rows))), None


def _summed(table_RW: Tensor, places_P: Tensor, offsets: Tensor) -> Tensor:
    return functional.embedding_bag(places_P, table_RW, offsets, mode="sum", include_last_offset=True)


def _ends(rows_P: Ids, rows: int) -> Ids:
    """Return ends_R1: of each row the first of its run among the sorted places, and their number."""
    return np.append(0, np.cumsum(np.bincount(rows_P, minlength=rows)))


@dataclass(frozen=True)
class ByRow:
    """The lookups of a batch in the order of the rows that they read: the gradient of a row is the sum of those of its run."""

    vectors_P: Ids
    """Which of the B * F vectors of x_BFW each goes into."""
    ends_R1: Ids
    """Of each row the first of its run, and the end."""


def _by_row(samples: Encoded, rows: int) -> ByRow:
    rows_P = np.concatenate([samples.ids_NS.ravel(), samples.values_E])
    return ByRow(_vectors(samples)[_sorted(rows_P)[1]], _ends(rows_P, rows))


def _vectors(samples: Encoded) -> Ids:
    """Return which of the B * F vectors each place goes into: those of the single fields first, then the list entries."""
    singles = samples.ids_NS.shape[1]
    vectors_BF = np.arange(len(samples) * (singles + samples.lists)).reshape(len(samples), singles + samples.lists)
    return np.concatenate([vectors_BF[:, :singles].ravel(), np.repeat(vectors_BF[:, singles:].ravel(), np.diff(samples.offsets_NL))])


def _sorted(rows_P: Ids) -> tuple[Ids, Ids]:
    """Return the rows in ascending order, and the positions that they come from, in their order where rows are equal.

    Row and position are sorted as one number, which is several times as fast as an argsort, and stable.
    """
    bits = len(rows_P).bit_length()
    keys_P = (rows_P << bits) | np.arange(len(rows_P))
    keys_P.sort()
    return keys_P >> bits, keys_P & ((1 << bits) - 1)


def _entry_weights(offsets: Tensor, layout: Layout) -> Tensor:
    means_L = torch.tensor([field.pooling == "mean" for field in layout.lists])
    lengths_BL = offsets.diff().clamp(min=1).view(-1, len(layout.lists))
    return torch.where(means_L, 1.0 / lengths_BL, 1.0).unsqueeze(-1)


@dataclass(frozen=True)
class Touched:
    """The distinct rows of a batch, and the batch renumbered to index them."""

    rows_U: Ids
    samples: Encoded
    by_row: ByRow


def touched(samples: Encoded) -> Touched:
    """Return the distinct rows of a batch, ascending, and the batch in terms of them."""
    singles = samples.ids_NS.size
    sorted_P, order_P = _sorted(np.concatenate([samples.ids_NS.ravel(), samples.values_E]))
    first_P = np.diff(sorted_P, prepend=-1) != 0
    places_P = np.empty_like(order_P)
    places_P[order_P] = np.cumsum(first_P) - 1
    renumbered = Encoded(places_P[:singles].reshape(samples.ids_NS.shape), places_P[singles:], samples.offsets_NL)
    starts_U = np.flatnonzero(first_P)
    return Touched(sorted_P[starts_U], renumbered, ByRow(_vectors(samples)[order_P], np.append(starts_U, len(order_P))))
