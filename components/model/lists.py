"""Lists in columns: their entries after one another, and those of several fields brought into the order of the samples.

Letters: N samples, L list fields, E entries of all fields, F entries of one.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def entries(column: pl.Series, *, length: int, separator: str) -> tuple[pl.Series, Numbers]:
    """Return the first entries of all lists after one another, less null ones, and how many are of each list.

    A separator: the column is text, whose entries it separates.
    """
    lists = column.str.split(separator).list.eval(pl.element().filter(pl.element() != "")) if separator else column
    first = lists.list.head(length) if (lists.list.len() > length).any() else lists
    found = first.explode(empty_as_null=False, keep_nulls=False)
    if found.null_count():
        first, found = first.list.drop_nulls(), found.drop_nulls()
    return found, first.list.len().fill_null(0).cast(pl.Int64).to_numpy()


def spread(lists: pl.Series, length: int) -> tuple[pl.Series, pl.Series]:
    """Return the first entries of all lists after one another, null ones too, and the number of the list that each is of."""
    numbered = pl.DataFrame({"entry": lists.list.head(length), "owner": pl.int_range(len(lists), eager=True)})
    return tuple(numbered.filter(pl.col("entry").list.len() > 0).explode("entry").get_columns())  # type: ignore[return-value]  # two columns


def interleave(entries_E: Numbers, lengths: Sequence[Numbers], order_N: Numbers | None) -> tuple[Numbers, Numbers]:
    """Bring entries into the order of the samples, so that a run of samples is a run of entries: (values_E, offsets_NL).

    entries: one field's after another's; lengths: of each sample, by field; order: of the samples, None: as they are.
    """
    if not lengths:
        return entries_E, np.zeros(1, np.int64)
    lengths_NL = np.stack(lengths, axis=1)
    starts_NL = (np.cumsum(lengths_NL.T) - lengths_NL.T.ravel()).reshape(lengths_NL.T.shape).T
    if order_N is not None:
        lengths_NL, starts_NL = lengths_NL[order_N], starts_NL[order_N]
    offsets_NL = np.append(0, np.cumsum(lengths_NL))
    places_E = np.repeat(starts_NL.ravel() - offsets_NL[:-1], lengths_NL.ravel())
    places_E += np.arange(len(entries_E))
    return entries_E[places_E], offsets_NL
