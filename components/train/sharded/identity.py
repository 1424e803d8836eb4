"""Exact ids in several processes: all ranks admit the same ones, by what all of them have seen, and count what became of them together."""

import numpy as np
import torch
from torch import distributed

from components.train.id_counts import IdCounts
from components.train.sharded.ranks import Ranks
from components.train.sightings import Counted, Sightings


def seen_by_all(own: Sightings, ranks: Ranks) -> Sightings:
    """Return the sightings of all ranks' chunks, of which one without rows has none; all must come to this call."""
    days, of = ranks.gather(own.day), {name: _of_each(counted, ranks) for name, counted in own.of.items()}
    return Sightings.together([Sightings(day, {name: of[name][rank] for name in of}) for rank, day in enumerate(days)])


def _of_each(own: Counted, ranks: Ranks) -> list[Counted]:
    keys_D, counts_D = own
    told = ranks.gather_numbers(torch.from_numpy(np.concatenate([keys_D.view(np.int64), counts_D])))
    halves = (np.split(of_one.numpy(), 2) for of_one in told)
    return [(keys.view(np.uint64), counts) for keys, counts in halves]


def count_together(counts: IdCounts, ranks: Ranks) -> None:
    """Add what the other ranks counted, of their own rows, to the counts; all must come to this call."""
    for own in (counts.entries, counts.unknown):
        told = ranks.gather(own)
        for name in own:
            own[name] = sum(of_one[name] for of_one in told)
    distributed.all_reduce(torch.from_numpy(counts.taken_V.view(np.uint8)), op=distributed.ReduceOp.MAX)
