"""The embedding table dealt out over the ranks by TorchRec, with FBGEMM's row-wise Adagrad.

Rank n of N has the embeddings n, n + N, n + 2N, ...: each vocabulary, and so each rank's work, is shared evenly. Letters: V rows of the
table, T embeddings side by side in a row, R = V * T embeddings, U distinct rows of a batch, W embedding width, P = W rounded up to a
multiple of 4, which FBGEMM demands, X = T * W.
"""

import gc
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.nn import functional
from torchrec import EmbeddingCollection, EmbeddingConfig, KeyedJaggedTensor
from torchrec.distributed.comm_ops import set_gradient_division
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.embedding_types import EmbeddingComputeKernel
from torchrec.distributed.sharding_plan import construct_module_sharding_plan, row_wise
from torchrec.distributed.types import ShardingEnv

from components.disk import scratch_folder
from components.model.encoding import Ids
from components.train.sharded.filed import filed
from components.train.sharded.ranks import Ranks

_EPSILON = 1e-8
"""As in one process (components/train/optimisers.py)."""
_TABLE, _FEATURE = "table", "rows"
_WEIGHT = f"embeddings.{_TABLE}.weight"
_BLOCK_ROWS = 1 << 16
_ROOM = 4
"""As in one process (components/train/learner.py): one more for so many embeddings."""


@dataclass(frozen=True)
class LookedUp:
    """Rows of the table as they are now."""

    leaf_UX: Tensor
    """A leaf to differentiate by."""
    padded: Tensor
    """The same, as TorchRec returned it: where the gradient enters."""


class ShardedTable:
    """This rank's part of the table. Whoever calls a method of it calls it on all ranks."""

    def __init__(self, rows: int, per_row: int, width: int, learning_rate: float, ranks: Ranks, *, grows: bool) -> None:
        """Allocate for V rows of T embeddings, each W wide, and more where it is to grow; `take` gives values."""
        self.ranks = ranks
        self.per_row = per_row
        self.width = width
        self.learning_rate = learning_rate
        self.padded = -(-width // 4) * 4
        self.scale = math.sqrt(self.padded / width)
        """Of the gradient: with it the mean of P squares, of which P - W are 0, is that of W."""
        self.embeddings = rows * per_row
        self._allocate(_with_room(self.used) if grows else self.used)
        set_gradient_division(False)  # gradients are weighted by rows, not divided by ranks

    @property
    def used(self) -> int:
        """How many embeddings a rank has, the last ones of some ranks not being part of the table."""
        return -(-self.embeddings // self.ranks.count)

    def _allocate(self, held: int) -> None:
        """Make room for so many embeddings on each rank, all 0, without optimizer state."""
        self.held = held
        self.collection = _shard(held * self.ranks.count, self.padded, self.learning_rate / self.scale, self.ranks)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Please use DTensor", FutureWarning)
            state = self.collection.fused_optimizer.state_dict()["state"][_WEIGHT]
            weight = self.collection.state_dict()[_WEIGHT]
        self.weight = weight.local_shards()[0].tensor.detach().zero_()
        self.accumulator = state[f"{_TABLE}.momentum1"].local_shards()[0].tensor.zero_()

    def take(self, table_VX: Tensor, accumulator_R: Tensor | None) -> None:
        """Go on from the own part of a whole table; without an accumulator from 0."""
        own_RW = table_VX.view(self.embeddings, self.width)[self.ranks.number :: self.ranks.count]
        self.weight[: len(own_RW), : self.width] = own_RW
        if accumulator_R is not None:
            self.accumulator[: len(own_RW)] = accumulator_R[self.ranks.number :: self.ranks.count]

    def grow(self, rows: int, scratch: Path) -> None:
        """Let the table have V rows, no fewer than it has: behind the others, so that each rank's part begins as it was.

        Where there is no room, that part waits in a folder of scratch while memory for more is made: it is never in memory twice.
        """
        self.embeddings = rows * self.per_row
        if self.used > self.held:
            with scratch_folder(scratch) as folder:
                weight, accumulator = filed(folder / "weight", *self.weight.shape), filed(folder / "accumulator", self.held)
                weight[:], accumulator[:] = self.weight, self.accumulator
                del self.weight, self.accumulator, self.collection
                gc.collect()  # a collection refers to itself
                self._allocate(_with_room(self.used))
                self.weight[: len(weight)] = weight
                self.accumulator[: len(accumulator)] = accumulator

    def holds(self, rows_U: Ids) -> NDArray[np.bool_]:
        """Return which rows this rank has an embedding of."""
        held_U: NDArray[np.bool_] = (self._embeddings(rows_U) % self.ranks.count == self.ranks.number).any(axis=1)
        return held_U

    def renew(self, rows_U: Ids, values_UX: Tensor) -> None:
        """Give values to the embeddings of rows that this rank has, and no optimizer state."""
        embeddings_R = self._embeddings(rows_U).ravel()
        own_R = embeddings_R % self.ranks.count == self.ranks.number
        places = torch.from_numpy(embeddings_R[own_R] // self.ranks.count)
        self.weight[places, : self.width] = values_UX.view(-1, self.width)[torch.from_numpy(own_R)]
        self.accumulator[places] = 0

    def _embeddings(self, rows_U: Ids) -> Ids:
        return rows_U[:, np.newaxis] * self.per_row + np.arange(self.per_row)

    def look_up(self, rows_U: Ids) -> LookedUp:
        """Fetch distinct rows from the ranks that have them."""
        embeddings = self._embeddings(rows_U).ravel()
        places = torch.from_numpy(embeddings % self.ranks.count * self.held + embeddings // self.ranks.count)
        asked = KeyedJaggedTensor(keys=[_FEATURE], values=places, lengths=torch.tensor([len(places)]))
        padded = self.collection(asked)[_FEATURE].values()
        leaf_UX = padded.detach()[:, : self.width].reshape(-1, self.per_row * self.width).requires_grad_()
        return LookedUp(leaf_UX, padded)

    def move(self, looked_up: LookedUp, gradient_UX: Tensor) -> None:
        """Move each row against the sum of all ranks' gradients of it, once."""
        gradient = gradient_UX.reshape(-1, self.width) * self.scale
        torch.autograd.backward(looked_up.padded, functional.pad(gradient, (0, looked_up.padded.shape[1] - self.width)))

    def gather(self, folder: Path) -> tuple[Tensor, Tensor] | None:
        """Return the whole table_VX and accumulator_R on the first rank, in files of the folder; None on the others."""
        parts = self.weight[: self.used, : self.width], self.accumulator[: self.used]
        if self.ranks.number:
            for own in parts:
                _interleave(own, None, self.ranks)
            return None
        table_RW, accumulator_R = filed(folder / "table", self.embeddings, self.width), filed(folder / "accumulator", self.embeddings)
        for own, whole in zip(parts, (table_RW, accumulator_R), strict=True):
            _interleave(own, whole, self.ranks)
        return table_RW.view(-1, self.per_row * self.width), accumulator_R


def _with_room(embeddings: int) -> int:
    return embeddings + embeddings // _ROOM


def _shard(rows: int, width: int, learning_rate: float, ranks: Ranks) -> Any:
    """Return TorchRec's collection of one table, whose rows are dealt out in blocks of equal size; they are not pooled."""
    config = EmbeddingConfig(name=_TABLE, embedding_dim=width, num_embeddings=rows, feature_names=[_FEATURE])
    whole = EmbeddingCollection(tables=[config], device=torch.device("meta"))
    optimiser = {"optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD, "learning_rate": learning_rate, "eps": _EPSILON}
    sharder = EmbeddingCollectionSharder(fused_params=optimiser)
    sizes = {"local_size": ranks.count, "world_size": ranks.count}
    plan = construct_module_sharding_plan(whole, {_TABLE: row_wise()}, sharder=sharder, device_type="cpu", **sizes)
    plan[_TABLE].compute_kernel = EmbeddingComputeKernel.FUSED.value
    return sharder.shard(whole, plan, ShardingEnv.from_process_group(distributed.group.WORLD), device=torch.device("cpu"))


def _interleave(own: Tensor, whole: Tensor | None, ranks: Ranks) -> None:
    """Write all ranks' rows into the first one's whole, a block of each at a time."""
    for first in range(0, len(own), _BLOCK_ROWS):
        block = own[first : first + _BLOCK_ROWS].contiguous()
        blocks = None if whole is None else [torch.empty_like(block) for _ in range(ranks.count)]
        distributed.gather(block, blocks)
        if whole is not None and blocks:
            place = first * ranks.count
            whole[place : place + len(block) * ranks.count] = torch.stack(blocks, dim=1).flatten(end_dim=1)[: len(whole) - place]
