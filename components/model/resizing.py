"""Rows of hashed tables that were resized: linear hashing (Litwin, VLDB 1980), so that growing to any size parts rows and moves no others.

With `first` rows when the table was new and m the least (first - 1) 2^k that is no less than rows - 1: a = h mod m, less m / 2 where it is
not below rows - 1; row = 1 + a. Row 0 is a missing id's. A table that was never resized has rows = first, and m = rows - 1.
"""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def row_of(hashes_D: NDArray[np.uint64], *, rows: int, first: int) -> Rows:
    """Return row_D of 64-bit hashes in a table of so many rows, `first` when it was new: in [1, rows)."""
    span = first - 1
    while span < rows - 1:
        span *= 2
    places_D = (hashes_D % np.uint64(span)).astype(np.int64)
    if span > rows - 1:
        places_D[places_D >= rows - 1] -= span // 2
    return places_D + 1


def shrinks_to(rows: int, *, first: int) -> bool:
    """Return whether a table with `first` rows when it was new can have fewer: ids that share a row then go on sharing one."""
    return (first - 1) % (rows - 1) == 0


def pairs(rows: int, were: int, *, first: int) -> tuple[Rows, Rows]:
    """Return row_P of a table resized from `were` rows, and the row_P before that holds the same ids; none where they are spread anew.

    first: its rows when it was new. A row that was parted is the second of several pairs; one that was joined, the first of several.
    """
    if rows >= were:
        return np.arange(rows), before(np.arange(rows), rows=were, first=first)
    then_P = np.arange(were)
    if rows >= first:
        return before(then_P, rows=rows, first=first), then_P
    if not shrinks_to(rows, first=first):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    now_P = before(then_P, rows=first, first=first)
    return np.where(now_P == 0, 0, 1 + (now_P - 1) % (rows - 1)), then_P


def before(rows_P: Rows, *, rows: int, first: int) -> Rows:
    """Return where the ids of a larger table's rows are where it has so many rows, `first` when it was new, rows >= first."""
    places_P, span = rows_P - 1, first - 1
    while span <= places_P.max(initial=0):
        span *= 2
    while span > first - 1:
        span //= 2
        places_P = np.where((places_P >= rows - 1) & (places_P >= span), places_P - span, places_P)
    return np.where(rows_P == 0, 0, places_P + 1)
