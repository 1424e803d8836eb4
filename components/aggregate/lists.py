"""What a user clicked, acted on and bought lately: aligned lists, the most recent first.

An entry belongs to the 30 days in which it happened. Equal instants: the greater of kind, item and attributes comes first, so that the
order depends on the entries alone. An unknown attribute is an empty string.
"""

from datetime import date, timedelta

import polars as pl

from components.aggregate.days import end_of
from components.aggregate.windows import LONGEST
from components.profile import Profile
from components.tables import OUTCOME_KINDS, behaviour_lists, list_attributes


def list_outcomes(outcomes: pl.LazyFrame, yesterday: pl.LazyFrame | None, *, day: date, length: int, profile: Profile) -> pl.LazyFrame:
    """Return a row for each user with an entry, and those of yesterday: user_id and the lists of `behaviour_lists`, at most `length` long.

    outcomes: rows of `outcomes` that became known on `day` or, without yesterday's features, in the 30 days to it.
    """
    entries = _entries(outcomes, day, profile)
    kinds = behaviour_lists(profile)
    if yesterday is None:
        return _group(entries, {}, length, profile)
    fresh = entries.select("user_id").unique()
    before = yesterday.select("user_id", *(column for columns in kinds.values() for column in columns.values()))
    changed = before.join(fresh, on="user_id", how="semi")
    old = {kind: _spread(changed, kind, profile).filter(_recent(day)) for kind in kinds}
    kept = _drop_old(before.join(fresh, on="user_id", how="anti"), day, profile)
    return pl.concat([kept, _group(entries, old, length, profile)], how="diagonal")


def _start(day: date) -> int:
    """Return the first instant of the 30 days to `day`, in microseconds since 1970 UTC."""
    return round((end_of(day) - timedelta(days=LONGEST)).timestamp()) * 1_000_000


def _recent(day: date) -> pl.Expr:
    return pl.col("times") >= _start(day)


def _entries(outcomes: pl.LazyFrame, day: date, profile: Profile) -> pl.LazyFrame:
    """Return each outcome as an entry: user_id, times (Int64 microseconds), kinds, items and attributes."""
    attributes = {name: pl.col(column).cast(pl.String).fill_null("") for name, column in list_attributes(profile).items()}
    known = outcomes.filter(pl.col("user_id").is_not_null(), pl.col("happened_at") < end_of(day))
    entries = known.select(
        "user_id", times=pl.col("happened_at").dt.epoch("us"), kinds=pl.col("outcome"), items=pl.col("item_id"), **attributes
    )
    return entries.filter(_recent(day))


def _spread(features: pl.LazyFrame, kind: str, profile: Profile) -> pl.LazyFrame:
    """Turn one kind of list back into entries."""
    columns = behaviour_lists(profile)[kind]
    named = features.select("user_id", **{name: pl.col(column) for name, column in columns.items()})
    entries = named.filter(pl.col("times").list.len() > 0).explode(list(columns))
    return entries if kind == "behaviour" else entries.with_columns(kinds=pl.lit(kind))


def _group(entries: pl.LazyFrame, old: dict[str, pl.LazyFrame], length: int, profile: Profile) -> pl.LazyFrame:
    """Bring new entries and `old` ones together, one row per user."""
    lists = entries.select("user_id").unique()
    for kind, columns in behaviour_lists(profile).items():
        mine = entries.filter(pl.col("kinds") == kind) if kind in OUTCOME_KINDS else entries
        both = pl.concat([mine, old[kind]], how="diagonal") if old else mine
        recent = both.sort("times", "kinds", "items", *list_attributes(profile), descending=True)
        heads = {column: pl.col(name).head(length) for name, column in columns.items()}
        grouped = recent.group_by("user_id", maintain_order=True).agg(**heads)
        lists = lists.join(grouped, on="user_id", how="left", validate="1:1")
    return lists


def _drop_old(lists: pl.LazyFrame, day: date, profile: Profile) -> pl.LazyFrame:
    """Cut the entries that have left the 30 days off the lists' ends."""
    cut = []
    for columns in behaviour_lists(profile).values():
        recent = pl.col(columns["times"]).list.eval(pl.element() >= _start(day)).list.sum()
        cut += [pl.col(column).list.head(recent) for column in columns.values()]
    return lists.with_columns(cut)
