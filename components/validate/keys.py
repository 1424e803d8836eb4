"""How often a key repeats, told from 64-bit hashes: one integer a row, in memory for a part of the rows at a time.

Hashes are compared within one call only: Polars may hash otherwise in its next version.
"""

import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from components.validate.slices import in_slices

Hashes = npt.NDArray[np.uint64]
_PART_ROWS = 2_000_000
_READERS = 2
_CONFIRMED = 100_000
_MIXER = 0x9E3779B97F4A7C15


def hash_columns(columns: Sequence[str]) -> pl.Expr:
    """Return a hash of some columns together; null where one of them is."""
    mixed = pl.col(columns[0]).hash(seed=0)
    for name in columns[1:]:
        mixed = mixed * pl.lit(_MIXER, pl.UInt64) + pl.col(name).hash(seed=1)
    return pl.when(pl.all_horizontal(pl.col(name).is_not_null() for name in columns)).then(mixed)


class Repeats(NamedTuple):
    """What is wrong with the keys of a table."""

    repeated: int
    """Rows whose key an earlier row has."""
    missing: int
    """Rows with a null in their key; they repeat nothing."""


def count_repeats(frame: pl.LazyFrame, key: Sequence[str], num_rows: int, *, part_rows: int = _PART_ROWS) -> Repeats:
    """Count the rows that repeat a key and those that have none.

    num_rows: of the frame, at least. Holds 8 bytes for each of twice `part_rows` rows; more rows go through temporary files.
    Exact: keys with equal hashes are compared themselves, unless there are so many that a chance one does not matter.
    """
    hashes = in_slices(frame.select(hash_columns(key).alias("hash")), num_rows)
    found, missing = _find_repeated(hashes, num_parts=-(-num_rows // part_rows))
    distinct = np.unique(found)
    if not 0 < len(distinct) <= _CONFIRMED:
        return Repeats(len(found), missing)
    suspects = frame.filter(hash_columns(key).is_in(pl.lit(pl.Series(distinct)).implode())).select(key)
    rows = suspects.collect(engine="streaming")
    return Repeats(rows.height - rows.n_unique(), missing)


def _find_repeated(hashes: Iterable[pl.DataFrame], *, num_parts: int) -> tuple[Hashes, int]:
    """Return each hash as often as it repeats, once fewer than it is there, and the number of nulls."""
    missing = 0
    with ExitStack() as stack:
        parts = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(max(num_parts, 1))]
        for part in hashes:
            missing += part["hash"].null_count()
            _spread(part["hash"].drop_nulls().to_numpy(), parts)
        readers = stack.enter_context(ThreadPoolExecutor(_READERS))
        return np.concatenate([*readers.map(lambda part: _repeated(_read(part)), parts)]), missing


def _spread(some: Hashes, parts: Sequence[IO[bytes]]) -> None:
    """Append each hash to the part that holds its range of values: of sorted hashes, one slice each."""
    ends = [number * (2**64 // len(parts)) for number in range(1, len(parts))]
    ordered = np.sort(some) if ends else some
    for part, hashes in zip(parts, np.split(ordered, np.searchsorted(ordered, np.array(ends, np.uint64))), strict=True):
        part.write(hashes.tobytes())


def _read(part: IO[bytes]) -> Hashes:
    part.flush()
    part.seek(0)
    return np.fromfile(part, np.uint64)


def _repeated(hashes: Hashes) -> Hashes:
    """Return the repeats among some hashes, which are sorted in place."""
    hashes.sort()
    again: Hashes = hashes[1:][hashes[1:] == hashes[:-1]]
    return again
