"""Where 64-bit keys stand in a list of them, found by open addressing.

Keys are hashes, so their leading bits are the slot at which a search begins; it goes on slot by slot until the key or an empty one. At
most half of the slots are used, which keeps searches short: one and a half steps for a key that is there, two and a half for another
(Knuth, The Art of Computer Programming 3, 6.4). Letters: K keys that are there, S slots, N keys that are asked for.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Places = NDArray[np.int32]
Number = TypeVar("Number", bound=np.generic)
_EMPTY = np.int32(-1)
_FEWEST_SLOTS = 1 << 10


class KeyIndex:
    """Distinct keys in the order in which they were added. 8 bytes a key, and 8 to 16 for its slots."""

    def __init__(self, keys_K: Keys) -> None:
        """Begin with these keys. Ascending ones are added fastest."""
        self._room = np.empty(0, np.uint64)
        self._size = 0
        self._clear(_FEWEST_SLOTS)
        self.add(keys_K)

    def __len__(self) -> int:
        """Return the number of keys."""
        return self._size

    @property
    def keys(self) -> Keys:
        """The K keys, in order."""
        return self._room[: self._size]

    def find(self, keys_N: Keys) -> Places:
        """Return each key's place, -1 where it is not there."""
        slots_N = (keys_N >> self._shift).astype(np.int64)
        places_N = self._places_S[slots_N]
        open_N = np.flatnonzero(self._differ(places_N, keys_N))
        keys, slots = keys_N[open_N], slots_N[open_N]
        while open_N.size:
            slots = (slots + 1) & (len(self._places_S) - 1)
            places = self._places_S[slots]
            places_N[open_N] = places
            kept = np.flatnonzero(self._differ(places, keys))
            open_N, keys, slots = open_N[kept], keys[kept], slots[kept]
        return places_N

    def _differ(self, places: Places, keys: Keys) -> NDArray[np.bool_]:
        """Return whether a slot holds another key than the one that is looked for."""
        return (self._room[places] != keys) & (places != _EMPTY) if self._size else np.zeros(len(keys), np.bool_)

    def add(self, keys_N: Keys) -> None:
        """Add distinct keys that are not there yet, behind the others."""
        first, self._size = self._size, self._size + len(keys_N)
        self._room = with_room(self._room, self._size)
        self._room[first : self._size] = keys_N
        if 2 * self._size > len(self._places_S):
            self._clear(1 << (2 * self._size - 1).bit_length())
            first = 0
        self._place(first)

    def _clear(self, slots: int) -> None:
        self._places_S = np.full(slots, _EMPTY)
        self._shift = np.uint64(65 - slots.bit_length())

    def _place(self, first: int) -> None:
        """Give a slot to each key from place `first` on: where several reach for one, the last has it and the others go on."""
        places = np.arange(first, self._size, dtype=np.int32)
        slots = (self._room[first : self._size] >> self._shift).astype(np.int64)
        while places.size:
            free = np.flatnonzero(self._places_S[slots] == _EMPTY)
            self._places_S[slots[free]] = places[free]
            left = np.flatnonzero(self._places_S[slots] != places)
            places, slots = places[left], (slots[left] + 1) & (len(self._places_S) - 1)


def with_room(values: NDArray[Number], size: int) -> NDArray[Number]:
    """Return an array that begins with the values and holds at least so many; it doubles, so that adding one by one stays linear."""
    if size <= len(values):
        return values
    room = np.empty(max(size, 2 * len(values)), values.dtype)
    room[: len(values)] = values
    return room
