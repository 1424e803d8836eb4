r"""The stable hash of an id: FNV-1a over its UTF-8 bytes, then splitmix64's finaliser, salted by the table's name.

It is part of what a checkpoint means: change it and every saved embedding row belongs to some other id.

    h = 0xcbf29ce484222325
    for byte in utf8(table) + b"\0" + utf8(id):  h = (h ^ byte) * 0x100000001b3      mod 2^64
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9;  h = (h ^ h >> 27) * 0x94d049bb133111eb;  h = h ^ h >> 31
    row = 1 + h mod (rows - 1);  row 0 is a missing id

A table that has been resized spreads its ids in another way (resizing.py).

A cross of ids a, b, c, each hashed to h as above with the cross's own table as salt, before the row is taken:
    x = h(a);  for each further id:  x = splitmix64's finaliser of ((x * 0x100000001b3 mod 2^64) ^ h(id));  row = 1 + x mod (rows - 1)
Sources: Fowler, Noll, Vo (the 64-bit constants); Steele, Lea, Flood, OOPSLA 2014 (splitmix64).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.model.resizing import row_of

_OFFSET = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF
Hashes = NDArray[np.uint64]
_COMPARED = frozenset({pl.String, pl.Int32, pl.Int64, pl.UInt32, pl.UInt64, pl.Float64})
"""Types whose distinct values have distinct texts, and are found before these are made."""


@dataclass(frozen=True)
class Hashed:
    """Ids as hashes_D, those of the distinct ones that occur (of a cross, of all), and which_N of them each is, -1 where it is missing."""

    hashes_D: Hashes
    which_N: NDArray[np.int32]

    def rows(self, rows: int, first: int | None = None) -> NDArray[np.int64]:
        """Return row_D of the hashes in a table of so many rows, `first` when it was new, in [1, rows): row 0 is that of a missing id."""
        return row_of(self.hashes_D, rows=rows, first=first or rows)

    def spread(self, values_D: NDArray[np.int64], missing: int, out: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Return value_N of each id, in `out` where it is given: those of the hashes, and that of a missing id."""
        return np.take(np.append(values_D, missing), self.which_N, mode="wrap", out=out)  # -1 is the last one

    def counts(self) -> NDArray[np.int64]:
        """Return count_D: how many ids have each hash."""
        return np.bincount(self.which_N + 1, minlength=len(self.hashes_D) + 1)[1:]


def hash_ids(ids: pl.Series, *, table: str, rows: int, first: int | None = None) -> NDArray[np.int64]:
    """Return the row of each id in a table of so many rows, `first` when it was new: 0 for null, else in [1, rows)."""
    hashed = hash_distinct(ids, table=table)
    return hashed.spread(hashed.rows(rows, first), 0)


def hash_crosses(parts: Sequence[pl.Series], *, table: str, rows: int) -> NDArray[np.int64]:
    """Return the row of each tuple of ids (one Series a part, in order) in a table of so many rows: 0 where a part is null."""
    hashed = hash_tuples(parts, table=table)
    return hashed.spread(hashed.rows(rows), 0)


def hash_distinct(ids: pl.Series, *, table: str) -> Hashed:
    """Hash ids of any plain type, as their texts, for a table."""
    plain = ids if ids.dtype in _COMPARED else ids.cast(pl.String)
    coded = pc.dictionary_encode(plain.to_arrow(compat_level=pl.CompatLevel.newest()))
    texts = pl.Series(coded.dictionary).cast(pl.String).to_arrow(compat_level=pl.CompatLevel.oldest())
    return Hashed(finalise(_fnv1a(texts, _salt(table))), pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False))


def hash_tuples(parts: Sequence[pl.Series], *, table: str) -> Hashed:
    """Hash tuples of ids (one Series a part, in order) for a table; a tuple is missing where a part is."""
    crossed_N, missing_N = np.empty(0, np.uint64), np.zeros(len(parts[0]), np.bool_)
    for place, ids in enumerate(parts):
        part = hash_distinct(ids, table=table)
        hashes_N = np.append(part.hashes_D, np.uint64(0))[part.which_N]
        crossed_N = finalise((crossed_N * np.uint64(_PRIME)) ^ hashes_N) if place else hashes_N
        missing_N |= part.which_N < 0
    return Hashed(crossed_N[~missing_N], np.where(missing_N, -1, np.cumsum(~missing_N) - 1).astype(np.int32))


def look_up(ids: pl.Series, values: Sequence[str]) -> NDArray[np.int64]:
    """Return each id's (String) place among the values, from 1: 0 for null, one more than there are values for any other id."""
    places = ids.cast(pl.Enum(values), strict=False).to_physical().cast(pl.Int64) + 1
    return places.fill_null(len(values) + 1).set(ids.is_null(), 0).to_numpy()


def _salt(table: str) -> int:
    state = _OFFSET
    for byte in table.encode() + b"\0":
        state = (state ^ byte) * _PRIME & _MASK
    return state


def _fnv1a(texts: pa.LargeStringArray, state: int) -> NDArray[np.uint64]:
    """Return FNV-1a of each text, all texts one byte further at a time: the longest first, so that those not yet ended come first."""
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")
    starts, ends_at = offsets[:-1][order], -lengths[order]
    hashes = np.full(len(texts), state, np.uint64)
    for position in range(int(lengths.max(initial=0))):
        live = int(np.searchsorted(ends_at, -position, side="left"))
        hashes[:live] = (hashes[:live] ^ content[starts[:live] + position]) * np.uint64(_PRIME)
    result = np.empty_like(hashes)
    result[order] = hashes
    return result


def finalise(hashes: Hashes) -> Hashes:
    """Mix the bits of 64-bit numbers, one to one (splitmix64's finaliser)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
