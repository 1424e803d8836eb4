"""Which ids a day has, small enough to keep: those of the lowest hashes, so that two days keep the same ones (bottom-k sketch)."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

_KEPT = 1000
_ROWS = 200_000
_LEAST = 30
_ALL = 2**64 - 1
Sketch = Mapping[str, Any]
"""`below`: all ids whose hash is at most this are in `hashes` (ascending). `by`: what hashed them."""
_BY = f"polars {pl.__version__}"  # its hash may differ in the next version


def lowest_hashes(ids: pl.Series, num_rows: int) -> pl.Series:
    """Return the hashes, each once, of some of a table's ids that may be among the lowest 1,000. num_rows: of the whole table."""
    hashes = ids.drop_nulls().hash(seed=0)
    return hashes.filter(hashes <= _limit(num_rows)).unique()


def sketch_ids(hashes: Sequence[pl.Series], num_rows: int) -> dict[str, Any]:
    """Keep the lowest 1,000 of the hashes that `lowest_hashes` gave for the parts of a table, at least one, or all of them."""
    below, found = _limit(num_rows), pl.concat(hashes).unique().sort()
    if len(found) > _KEPT:
        found = found.head(_KEPT)
        below = found[-1]
    return {"by": _BY, "below": below, "hashes": found.to_list()}


def _limit(num_rows: int) -> int:
    return min(_ALL, _ALL * _ROWS // max(num_rows, 1))


def count_distinct(sketch: Sketch) -> int:
    """Return the number of distinct ids, estimated where not all are kept."""
    return round(len(sketch["hashes"]) * 2**64 / (int(sketch["below"]) + 1))


def coverage(day: Sketch, yesterday: Sketch) -> float | None:
    """Return the share of the day's distinct ids that yesterday had; None where the kept ids cannot tell."""
    if day["by"] != yesterday["by"]:
        return None
    below = min(day["below"], yesterday["below"])
    current = [number for number in day["hashes"] if number <= below]
    known = set(yesterday["hashes"])
    return sum(number in known for number in current) / len(current) if len(current) >= _LEAST else None
