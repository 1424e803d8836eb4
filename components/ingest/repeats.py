"""Which rows of a day's runs repeat others. Only rows whose fingerprint repeats are compared, so that memory does not grow with the day."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.ingest.columns import Target
from components.ingest.duplicates import POSITION, Removed, compare
from components.ingest.fingerprints import Values, fingerprint, repeated
from components.ingest.staging import Run


def mark_repeats(runs: Sequence[Run], target: Target, limit: int) -> Removed:
    """Mark the rows of the runs that repeat others, comparing about `limit` rows at once; return what was marked."""
    removed = Removed()
    for values in repeated([run.fingerprints for run in runs], limit):
        suspects = pl.concat(_suspects(number, run, values, target) for number, run in enumerate(runs))
        for fate, rows in compare(suspects, target):
            for (number,), marked in rows.group_by("run"):
                run = runs[int(number)]
                run.removed = np.zeros(run.height, np.bool_) if run.removed is None else run.removed
                run.removed[marked["at"].to_numpy()] = True
            removed.add(fate, rows[POSITION])
    return removed


def _suspects(number: int, run: Run, values: Values, target: Target) -> pl.DataFrame:
    """Return the rows of a run that have one of the fingerprints, which are ascending, with the run's number and where they are."""
    found = run.fingerprints.between(int(values[0]), int(values[-1]))
    known = values[np.searchsorted(values, found)] == found
    first = run.fingerprints.below(int(values[0]))
    at = np.sort(_order(run, target)[first:][: len(found)][known]) if known.any() else np.zeros(0, np.uint32)
    rows = run.read([*target.schema, POSITION])[at] if len(at) else run.read([*target.schema, POSITION], 0, 0)
    return rows.with_columns(pl.lit(number, pl.Int64).alias("run"), pl.Series("at", at))


def _order(run: Run, target: Target) -> NDArray[np.uint32]:
    """Return which row of a run each of its sorted fingerprints is of; kept beside the run once it was needed."""
    path = run.path.with_suffix(".order")
    if not path.exists():
        rows = run.read(list(target.schema)).select(fingerprint(target))
        path.write_bytes(np.argsort(rows.to_series().to_numpy()).astype(np.uint32).data)
    return np.memmap(path, np.uint32, "r")
