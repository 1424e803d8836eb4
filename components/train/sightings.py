"""How often each id of the exact tables has come, in one chunk or in several that count as one. Letters: D distinct ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.model.columns import EXPOSED
from components.model.encoding import Layout, Read
from components.model.hashing import Hashes

Counted = tuple[Hashes, NDArray[np.int64]]
"""Distinct hashes_D, ascending, and counts_D."""
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Sightings:
    """Of a chunk's ids."""

    day: int | None
    """That of the newest row, counted from 1970-01-01; None where there is no row."""
    of: dict[str, Counted]
    """By vocabulary, in all fields that read it together."""

    @classmethod
    def in_chunk(cls, samples: Read, chunk: pl.DataFrame, layout: Layout) -> "Sightings":
        """Count those of a chunk, of which samples are the rows."""
        day = int(chunk[EXPOSED].dt.date().max().toordinal()) - _EPOCH if chunk.height else None  # type: ignore[union-attr]  # instants
        return cls(day, {owner.name: _in_columns(samples, owner.name, layout) for owner in layout.exact})

    @classmethod
    def together(cls, parts: Sequence["Sightings"]) -> "Sightings":
        """Count several chunks as one."""
        day = max((part.day for part in parts if part.day is not None), default=None)
        return cls(day, {name: _added_up([part.of[name] for part in parts]) for name in parts[0].of})


def _in_columns(samples: Read, vocabulary: str, layout: Layout) -> Counted:
    columns = (column for name, column in samples.hashed() if layout.named[name].vocabulary == vocabulary)
    return _added_up([(column.hashes_D, column.counts()) for column in columns])


def _added_up(parts: Sequence[Counted]) -> Counted:
    """Add up the counts of hashes, in any order and of which each may come again."""
    keys, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
    return keys[first], np.add.reduceat(counts, first) if len(first) else counts
