"""Rows of a table by their key, for keys that come a few at a time: nothing is built anew for them, as a join would."""

from dataclasses import dataclass
from itertools import count
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray


@dataclass(frozen=True)
class Lookup:
    """Unique keys, sorted by a hash that differs for all of them."""

    keys: pl.DataFrame
    seed: int
    hashes: NDArray[np.uint64]
    rows: NDArray[np.uint32]
    """Of each hash, the row of its key."""

    @classmethod
    def of(cls, keys: pl.DataFrame) -> Self:
        """Sort the keys, one a row. Raises ValueError, which names one that repeats."""
        for seed in count():
            hashes = keys.hash_rows(seed=seed).to_numpy()
            rows = np.argsort(hashes).astype(np.uint32)
            hashes = hashes[rows]
            equal = np.flatnonzero(hashes[1:] == hashes[:-1])
            if not equal.size:
                return cls(keys, seed, hashes, rows)
            repeated = keys[rows[equal]].filter(_same(keys[rows[equal]], keys[rows[equal + 1]], missing=True))
            if repeated.height:
                raise ValueError(f"expected 1:1, one row of each key, found several of {repeated.row(0, named=True)}")
        raise AssertionError("unreachable")

    def find(self, keys: pl.DataFrame) -> pl.Series:
        """Return the row of each key, UInt32, null where there is none; a key of which a part is null has none."""
        if not self.rows.size:
            return pl.repeat(None, keys.height, dtype=pl.UInt32, eager=True)
        hashes = keys.hash_rows(seed=self.seed).to_numpy()
        order = np.argsort(hashes)
        places = np.empty(keys.height, np.int64)
        places[order] = np.searchsorted(self.hashes, hashes[order])  # in the order of the table, several times faster
        rows = pl.Series(self.rows[np.minimum(places, self.rows.size - 1)])
        return rows.set(~_same(keys, self.keys[rows], missing=False).fill_null(value=False), None)


def _same(left: pl.DataFrame, right: pl.DataFrame, *, missing: bool) -> pl.Series:
    """Compare keys row by row; `missing`: nulls are equal to each other."""
    pairs = zip(left.iter_columns(), right.iter_columns(), strict=True)
    equal = [mine.eq_missing(theirs) if missing else mine == theirs for mine, theirs in pairs]
    return pl.select(pl.all_horizontal(equal)).to_series()
