r"""The stable hash of an id: FNV-1a over its UTF-8 bytes, then splitmix64's finaliser, salted by the table's name.

It is part of what a checkpoint means: change it and every saved embedding row belongs to some other id.

    h = 0xcbf29ce484222325
    for byte in utf8(table) + b"\0" + utf8(id):  h = (h ^ byte) * 0x100000001b3      mod 2^64
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9;  h = (h ^ h >> 27) * 0x94d049bb133111eb;  h = h ^ h >> 31
    row = 1 + h mod (rows - 1);  row 0 is a missing id
Sources: Fowler, Noll, Vo (the 64-bit constants); Steele, Lea, Flood, OOPSLA 2014 (splitmix64).
"""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_OFFSET = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF


def hash_ids(ids: pl.Series, *, table: str, rows: int) -> NDArray[np.int64]:
    """Return the row of each id (String) in a table of so many rows: 0 for null, else in [1, rows)."""
    coded = pc.dictionary_encode(ids.to_arrow(compat_level=pl.CompatLevel.oldest()))
    hashes = _finalise(_fnv1a(coded.dictionary, _salt(table)))
    row_of_distinct = (hashes % np.uint64(rows - 1) + np.uint64(1)).astype(np.int64)
    distinct_of_id: NDArray[np.int32] = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    return np.append(row_of_distinct, 0)[distinct_of_id]


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


def _finalise(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
