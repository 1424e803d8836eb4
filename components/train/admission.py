"""Which ids get a row of their own while a day is trained on: admission, expiry, and the pool that the rows come from.

Everything happens at a chunk's beginning, by the chunk alone (in several processes: by those that they train on together): its sightings
are counted, ids that have been seen often enough get rows, and the chunk is trained on with them. Letters: D distinct ids of a chunk, U ids
that are given a row, W width of a row.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from components.checkpoints import Checkpoint
from components.model.encoding import Layout, Read
from components.model.hashing import Hashes, finalise
from components.model.identity import KnownIds, Numbers, known_ids
from components.model_fields import ModelField
from components.train.id_counts import Facts, IdCounts
from components.train.sightings import Counted, Sightings
from components.train.waiting import WaitingIds

_DAYS = "identity_days"
_WAITING = "waiting_ids."
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""splitmix64's step."""


@dataclass(frozen=True)
class Admitted:
    """Ids that are given a row: their hashes and their rows in the pool."""

    keys_U: Hashes
    rows_U: Numbers

    def values(self, seed: int, *, width: int, std: float) -> Tensor:
        """Draw rows_UW, uniform around 0, from (seed, hash, column) alone: they do not depend on when or beside whom an id came."""
        columns_W = (np.arange(1, width + 1, dtype=np.uint64) + np.uint64(seed)) * _GOLDEN
        bits_UW = finalise(self.keys_U[:, None] + columns_W)
        uniform_UW = (bits_UW >> np.uint64(11)) * 2.0**-52 - 1  # 53 bits, in [-1, 1)
        return torch.from_numpy((uniform_UW * (std * 3**0.5)).astype(np.float32))

    def blocks(self, size: int) -> Iterator["Admitted"]:
        """Yield them so many at a time."""
        for first in range(0, len(self.keys_U), size):
            yield Admitted(self.keys_U[first : first + size], self.rows_U[first : first + size])


class Pool:
    """The rows behind the other rows of the table: those of the known ids, and free ones, which are given out again first."""

    def __init__(self, rows: int, taken: Numbers) -> None:
        """Begin with so many rows, some of them taken."""
        free_R = np.ones(rows, np.bool_)
        free_R[taken] = False
        self.rows = rows
        self._free = np.flatnonzero(free_R).astype(np.int32)

    def take(self, count: int) -> Numbers:
        """Return so many rows, the lowest free ones, then new ones."""
        taken, self._free = self._free[:count], self._free[count:]
        new = np.arange(self.rows, self.rows + count - len(taken), dtype=np.int32)
        self.rows += len(new)
        return np.concatenate([taken, new])

    def give_back(self, rows: Numbers) -> None:
        """Free rows."""
        self._free = np.sort(np.concatenate([self._free, rows]))


class Admission:
    """The ids that are known, those that wait, and the days that were trained on."""

    def __init__(
        self,
        parent: Checkpoint | None,
        layout: Layout,
        *,
        most_waiting: int,
        seen_by_all: Callable[[Sightings], Sightings] = lambda own: own,
    ) -> None:
        """Go on from a parent's ids; most_waiting: of each exact vocabulary.

        seen_by_all: called with a chunk's sightings, returns those to admit by: in several processes those of all their chunks.
        """
        found, state = (known_ids(parent.model), parent.optimizer) if parent else ({}, {})
        self.layout = layout
        self.known = {owner.name: found.get(owner.name) or KnownIds.none() for owner in layout.exact}
        self.waiting = {owner.name: WaitingIds.of(state, _WAITING + owner.name) for owner in layout.exact}
        self.pool = Pool(layout.pool, np.concatenate([np.empty(0, np.int32), *(ids.of("rows") for ids in self.known.values())]))
        self.days: Numbers = state[_DAYS].numpy() if _DAYS in state else np.empty(0, np.int32)
        self.most_waiting = most_waiting
        self.seen_by_all = seen_by_all
        self.counts = IdCounts(layout)

    def admit(self, samples: Read, chunk: pl.DataFrame, *, number: int) -> list[Admitted]:
        """Count a chunk's sightings and return the ids that get a row, by vocabulary.

        samples: those of the chunk. Where its newest row is of a new day, ids that expire lose their rows first. number: the chunk's,
        counted from the cold start.
        """
        admitted = []
        if self.layout.exact:
            seen = self.seen_by_all(Sightings.in_chunk(samples, chunk, self.layout))
            if seen.day is not None:
                if seen.day > self.days.max(initial=0):
                    self._begin(seen.day)
                admitted = [self._admit(owner, seen.of[owner.name], number) for owner in self.layout.exact]
        self.counts.add(samples, self.known)
        return admitted

    def facts(self) -> list[Facts]:
        """Return what became of the ids, by field (`IdCounts.facts`)."""
        return self.counts.facts(self.known, {name: len(ids) for name, ids in self.waiting.items()})

    def _begin(self, day: int) -> None:
        """Begin a day: an id that was on none of the last days trained before it, as many as its vocabulary says, expires."""
        self.days = np.append(self.days, np.int32(day))[-1 - max(owner.expire_days for owner in self.layout.exact) :]
        for owner in self.layout.exact:
            if 0 < owner.expire_days < len(self.days):
                first, known = int(self.days[-1 - owner.expire_days]), self.known[owner.name]
                rows = known.forget(known.of("seen_on") < first)
                self.pool.give_back(rows)
                self.counts.evicted[owner.name] += len(rows)
                self.waiting[owner.name].forget(before=first)

    def _admit(self, owner: ModelField, seen: Counted, chunk: int) -> Admitted:
        known, waiting, day = self.known[owner.name], self.waiting[owner.name], int(self.days[-1])
        keys_D, counts_D = seen
        places_D = known.places(keys_D)
        known.of("seen_on")[places_D[places_D >= 0]] = day
        waiting.see(keys_D[places_D < 0], counts_D[places_D < 0], day)
        keys_U, seen_on_U = waiting.take(sightings=owner.admit_after, most=max(owner.buckets - len(known), 0))
        rows_U = self.pool.take(len(keys_U))
        known.add(keys_U, rows_U, seen_on_N=seen_on_U, chunk=chunk)
        self.counts.admitted[owner.name] += len(keys_U)
        self.counts.dropped[owner.name] += waiting.shrink(self.most_waiting)
        return Admitted(keys_U, rows_U)

    def tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return what a checkpoint keeps: of the model, and of the state of training. Nothing where no vocabulary is exact."""
        model = {name: tensor for vocabulary, known in self.known.items() for name, tensor in known.tensors(vocabulary).items()}
        waiting = [ids.tensors(_WAITING + vocabulary) for vocabulary, ids in self.waiting.items()]
        state = {name: tensor for tensors in waiting for name, tensor in tensors.items()}
        return model, {**state, _DAYS: torch.from_numpy(self.days)} if self.known else {}
