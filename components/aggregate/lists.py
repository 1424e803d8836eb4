"""What a user clicked, acted on and bought lately: aligned lists, the most recent first.

An entry belongs to the 30 days in which it happened. Equal instants: the greater of kind, item and attributes comes first, so that the
order depends on the entries alone. An unknown attribute is an empty string.
"""

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import polars as pl
import pyarrow as pa

from components.aggregate.days import end_of
from components.aggregate.windows import LONGEST
from components.profile import Profile
from components.tables import OUTCOME_KINDS, behaviour_lists, list_attributes

_KIND = pl.Enum(sorted(OUTCOME_KINDS))
"""Kinds, in the order of their names."""


def list_outcomes(
    users: pl.Series, outcomes: pl.LazyFrame, yesterday: pl.LazyFrame | None, *, day: date, length: int, profile: Profile
) -> pl.DataFrame:
    """Return the lists of `users`, in their order: user_id and the columns of `behaviour_lists`, each list at most `length` long.

    users: different ids. outcomes: rows of `outcomes` that became known on `day` or, without yesterday's features, in the 30 days to it.
    Those of other users are left out.
    """
    numbered = pl.DataFrame({"user_id": users, "user": pl.int_range(len(users), eager=True)})
    entries = [_number(_entries(outcomes, day, profile).collect(engine="streaming"), numbered)]
    if yesterday is not None:
        entries += _spread(yesterday, numbered, profile)
    recent = pl.concat(entries, how="diagonal").filter(pl.col("times") >= _start(day))
    order = ["user", "times", "kinds", "items", *list_attributes(profile)]
    ordered = recent.sort(order, descending=[False] + [True] * (len(order) - 1))
    lists = {"user_id": users}
    for kind, columns in behaviour_lists(profile).items():
        mine = ordered if kind == "behaviour" else ordered.filter(pl.col("kinds") == kind)
        lists |= _group(mine.with_columns(pl.col("kinds").cast(pl.String)), columns, length, len(users))
    return pl.DataFrame(lists)


def _start(day: date) -> int:
    """Return the first instant of the 30 days to `day`, in microseconds since 1970 UTC."""
    return round((end_of(day) - timedelta(days=LONGEST)).timestamp()) * 1_000_000


def _entries(outcomes: pl.LazyFrame, day: date, profile: Profile) -> pl.LazyFrame:
    """Return each outcome as an entry: user_id, times (Int64 microseconds), kinds, items and attributes."""
    attributes = {name: pl.col(column).cast(pl.String).fill_null("") for name, column in list_attributes(profile).items()}
    known = outcomes.filter(pl.col("user_id").is_not_null(), pl.col("happened_at") < end_of(day))
    times, kinds = pl.col("happened_at").dt.epoch("us"), pl.col("outcome").cast(_KIND)
    return known.select("user_id", times=times, kinds=kinds, items=pl.col("item_id"), **attributes)


def _number(rows: pl.DataFrame, numbered: pl.DataFrame) -> pl.DataFrame:
    """Put the user's number for user_id; other users' rows go."""
    return rows.join(numbered, on="user_id", validate="m:1").drop("user_id")


def _spread(features: pl.LazyFrame, numbered: pl.DataFrame, profile: Profile) -> list[pl.DataFrame]:
    """Turn yesterday's lists of each kind back into entries: what all three kinds' lists hold is what their common list is made of."""
    kinds = {kind: columns for kind, columns in behaviour_lists(profile).items() if kind in OUTCOME_KINDS}
    before = features.select("user_id", *(column for columns in kinds.values() for column in columns.values())).collect(engine="streaming")
    users = before.select("user_id").join(numbered, on="user_id", how="left", validate="1:1", maintain_order="left")["user"]
    entries = []
    for kind, columns in kinds.items():
        named = pl.DataFrame({"user": users, **{name: before[column] for name, column in columns.items()}})
        entries.append(named.explode(list(columns)).drop_nulls("user").with_columns(kinds=pl.lit(kind, _KIND)))
    return entries


def _group(entries: pl.DataFrame, columns: Mapping[str, str], length: int, count: int) -> dict[str, pl.Series]:
    """Return the first `length` entries of each of `count` users as one list a column; entries are sorted by user.

    The lists are laid over the sorted entries as they are: Polars takes seconds to group, join or sort a million short lists.
    """
    users = entries["user"].to_numpy()
    counts = np.bincount(users, minlength=count)
    if counts.max(initial=0) > length:
        places = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
        entries, counts = entries.filter(pl.Series(places < length)), np.minimum(counts, length)
    ends = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int64())
    values = {name: entries[name].to_arrow(compat_level=pl.CompatLevel.newest()) for name in columns}
    lists = {name: pl.Series(pl.from_arrow(pa.LargeListArray.from_arrays(ends, values[name]))) for name in columns}
    return {column: lists[name].alias(column) for name, column in columns.items()}
