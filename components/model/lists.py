"""Lists in columns: their entries after one another, and those of several fields brought into the order of the samples.

Letters: N samples, L list fields, E entries of all fields, F entries of one.
"""

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


def interleave(lists: list[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    """Bring the entries of several list fields into sample order, so that a run of samples is a run of entries: (values_E, offsets_NL)."""
    if not lists:
        return np.empty(0, np.int64), np.zeros(1, np.int64)
    lengths_NL = np.stack([lengths_N for _, lengths_N in lists], axis=1)
    offsets_NL = np.concatenate([[0], np.cumsum(lengths_NL)])
    starts_NL = offsets_NL[:-1].reshape(lengths_NL.shape)
    merged_E = np.empty(offsets_NL[-1], np.int64)
    for place, (values_F, lengths_N) in enumerate(lists):
        shift_N = starts_NL[:, place] - (np.cumsum(lengths_N) - lengths_N)
        merged_E[np.arange(len(values_F)) + np.repeat(shift_N, lengths_N)] = values_F
    return merged_E, offsets_NL
