"""Which raw events a labelling may see: those that arrived and happened before its cut-off, each key once.

Everything the cut-off hides is removed first, so nothing that comes later can move a byte of what is left.
"""

from datetime import date, datetime

import polars as pl


def select_events(events: pl.LazyFrame, *, key: str, at: str, day: date, labelled_through: datetime) -> pl.LazyFrame:
    """Keep the events that arrived on `day` or later, before `labelled_through`'s date, and happened before it; each key once.

    events: any number of rows per `key`, over arrival days; `arrived_on`, and the event's time `at`, UTC. Of a key that repeats the
    earliest arrival stands, then the earliest time, then the smallest of the other columns; rows with a null key all stand.
    Returns the same columns in no particular order. Runs two small queries now, to find the keys that repeat and their first rows (see
    README.md); the rest stays lazy and is never collected.
    """
    arrived = pl.col("arrived_on").is_between(day, labelled_through.date(), closed="left")
    seen = events.filter(arrived & (pl.col(at) < labelled_through))
    repeated = hold(seen.group_by(key).len().filter(pl.col("len") > 1).select(key).drop_nulls())
    if repeated.collect().is_empty():
        return seen
    first = hold(
        seen.join(repeated, on=key, how="semi")
        .sort(pl.col("arrived_on"), pl.col(at), pl.exclude("arrived_on", at))
        .unique(subset=key, keep="first", maintain_order=True)
    )
    return pl.concat([seen.join(repeated, on=key, how="anti"), first])


def hold(small: pl.LazyFrame) -> pl.LazyFrame:
    """Compute a small frame now. Left lazy, what is used twice is planned twice, and the plan doubles at every step."""
    return small.collect(engine="streaming").lazy()
