"""Exact identity: which row of the embedding table an id has, for as long as it keeps coming.

An id is known by the 64-bit hash that `hashing` gives it. Of n ids of a vocabulary two share a hash with a probability of n^2 / 2^65:
3e-8 for a million, 3e-4 for 100 million; they would share a row, as hashed ids do. Rows are numbered within the pool, which all exact
vocabularies share and which lies behind the other rows of the table. Letters: K known ids, N ids that are asked for.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.model.hashing import Hashes
from components.model.key_index import KeyIndex, Places, with_room

PREFIX = "identity."
"""Of the tensors of a checkpoint that hold known ids: identity.VOCABULARY.PART."""
UNKNOWN = 1
"""Row of an exact vocabulary's own two that is shared by all ids without one of their own; row 0 is that of a missing id."""
_PARTS = ("rows", "seen_on", "admitted_in")
Numbers = NDArray[np.int32]


class KnownIds:
    """The ids of one vocabulary that have a row. 20 bytes an id in a checkpoint, at most 40 in memory, beside the row itself."""

    def __init__(self, keys_K: Hashes, rows_K: Numbers, seen_on_K: Numbers, admitted_in_K: Numbers) -> None:
        """Know these ids.

        seen_on: the last day on which it was trained on, counted from 1970-01-01; admitted_in: the number of the chunk, counted from
        the cold start, that gave it its row.
        """
        self._index = KeyIndex(keys_K)
        self._numbers = dict(zip(_PARTS, (rows_K, seen_on_K, admitted_in_K), strict=True))

    @classmethod
    def none(cls) -> "KnownIds":
        """Know no id yet."""
        return cls(np.empty(0, np.uint64), *(np.empty(0, np.int32) for _ in _PARTS))

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self._index)

    def of(self, part: str) -> Numbers:
        """Return rows, seen_on or admitted_in of each id, in the order of places; to be written to as well."""
        return self._numbers[part][: len(self)]

    def places(self, hashes_N: Hashes) -> Places:
        """Return each id's place, -1 where it is not known."""
        return self._index.find(hashes_N)

    def find(self, hashes_N: Hashes, part: str = "rows") -> NDArray[np.int64]:
        """Return each id's row in the pool, or another part of it, -1 where it is not known."""
        return np.append(self.of(part), np.int32(-1))[self.places(hashes_N)].astype(np.int64)

    def add(self, hashes_N: Hashes, rows_N: Numbers, *, seen_on_N: Numbers, chunk: int) -> None:
        """Give rows to distinct ids that are not known."""
        first = len(self)
        self._index.add(hashes_N)
        added = (rows_N, seen_on_N, np.full(len(rows_N), chunk, np.int32))
        for part, values_N in zip(_PARTS, added, strict=True):
            self._numbers[part] = with_room(self._numbers[part], len(self))
            self._numbers[part][first : len(self)] = values_N

    def forget(self, gone_K: NDArray[np.bool_]) -> Numbers:
        """Forget some ids and return their rows, ascending."""
        rows_N = np.sort(self.of("rows")[gone_K])
        self._numbers = {part: self.of(part)[~gone_K] for part in _PARTS}
        self._index = KeyIndex(self._index.keys[~gone_K])
        return rows_N

    def tensors(self, vocabulary: str) -> dict[str, Tensor]:
        """Return the ids as a checkpoint keeps them: ascending by hash, whatever the order in which they came."""
        order_K = np.argsort(self._index.keys)
        keys = {f"{PREFIX}{vocabulary}.keys": torch.from_numpy(self._index.keys[order_K].view(np.int64))}
        return keys | {f"{PREFIX}{vocabulary}.{part}": torch.from_numpy(self.of(part)[order_K]) for part in _PARTS}


def known_ids(tensors: Mapping[str, Tensor]) -> dict[str, KnownIds]:
    """Return the known ids of each exact vocabulary among a checkpoint's tensors."""
    names = [name.removeprefix(PREFIX).removesuffix(".keys") for name in tensors if name.startswith(PREFIX) and name.endswith(".keys")]
    return {name: _restored(tensors, name) for name in names}


def _restored(tensors: Mapping[str, Tensor], vocabulary: str) -> KnownIds:
    keys_K, *numbers = (tensors[f"{PREFIX}{vocabulary}.{part}"].numpy().copy() for part in ("keys", *_PARTS))
    return KnownIds(keys_K.view(np.uint64), *numbers)


def without_ids(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that are not of known ids."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(PREFIX)}


def rows_by_key(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return identity.VOCABULARY.keys and .rows alone: what it takes to look ids up."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX) and name.endswith((".keys", ".rows"))}
