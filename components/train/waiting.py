"""Ids that have been seen, and not yet often enough for a row of their own. Letters: C waiting ids, D distinct ids of a chunk."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.model.hashing import Hashes

Numbers = NDArray[np.int32]
_KEPT = 3 / 4
"""Share of `most` that is kept once there are more: what is dropped is paid for once in a while, not in every chunk."""


@dataclass
class WaitingIds:
    """The ids of one vocabulary, ascending by hash: how often they were seen, and the last day (from 1970-01-01) on which they were."""

    keys_C: Hashes
    sightings_C: Numbers
    seen_on_C: Numbers

    @classmethod
    def of(cls, tensors: dict[str, Tensor], name: str) -> "WaitingIds":
        """Take those of a checkpoint; none where it has none."""
        if f"{name}.keys" not in tensors:
            return cls(np.empty(0, np.uint64), np.empty(0, np.int32), np.empty(0, np.int32))
        keys_C, *numbers = (tensors[f"{name}.{part}"].numpy().copy() for part in ("keys", "sightings", "seen_on"))
        return cls(keys_C.view(np.uint64), *numbers)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return them as a checkpoint keeps them."""
        parts = {"keys": self.keys_C.view(np.int64), "sightings": self.sightings_C, "seen_on": self.seen_on_C}
        return {f"{name}.{part}": torch.from_numpy(values_C) for part, values_C in parts.items()}

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.keys_C)

    def see(self, keys_D: Hashes, counts_D: NDArray[np.int64], day: int) -> None:
        """Count sightings of distinct ids, ascending, on a day."""
        places_D = np.searchsorted(self.keys_C, keys_D)
        new_D = np.append(self.keys_C, np.uint64(0))[places_D] != keys_D
        new_D |= places_D == len(self)
        seen_at = places_D[~new_D]
        self.sightings_C[seen_at] = np.minimum(self.sightings_C[seen_at] + counts_D[~new_D], np.iinfo(np.int32).max)
        self.seen_on_C[seen_at] = day
        self.keys_C = np.insert(self.keys_C, places_D[new_D], keys_D[new_D])
        self.sightings_C = np.insert(self.sightings_C, places_D[new_D], counts_D[new_D])
        self.seen_on_C = np.insert(self.seen_on_C, places_D[new_D], day)

    def take(self, *, sightings: int, most: int) -> tuple[Hashes, Numbers]:
        """Take out the ids that were seen so often, ascending by hash, and their last days; where there are more, those seen most often."""
        ready = np.flatnonzero(self.sightings_C >= sightings)
        if len(ready) > most:
            ready = np.sort(self._foremost(ready)[:most])
        taken = self.keys_C[ready], self.seen_on_C[ready]
        self._keep(np.delete(np.arange(len(self)), ready) if len(ready) else slice(None))
        return taken

    def forget(self, *, before: int) -> None:
        """Forget the ids last seen before a day."""
        self._keep(self.seen_on_C >= before)

    def shrink(self, most: int) -> int:
        """Keep three quarters of `most` ids once there are more, those seen most often; return how many were dropped."""
        surplus = len(self) - int(most * _KEPT) if len(self) > most else 0
        if surplus:
            self._keep(np.sort(self._foremost(np.arange(len(self)))[:-surplus]))
        return surplus

    def _foremost(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return places with those seen most often first, then latest, then by hash."""
        order = np.lexsort((self.keys_C[places], -self.seen_on_C[places], -self.sightings_C[places]))
        foremost: NDArray[np.int64] = places[order]
        return foremost

    def _keep(self, which: NDArray[np.int64] | NDArray[np.bool_] | slice) -> None:
        self.keys_C, self.sightings_C, self.seen_on_C = self.keys_C[which], self.sightings_C[which], self.seen_on_C[which]
