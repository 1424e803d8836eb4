"""Which impression a click is credited to, and through which click a purchase or an action is: one rule for both.

An event names its target, or takes the latest target of the same user and item. The target of a click is an impression; the target
of a purchase or an action is a click. All frames here are small: events, and the impressions that events may belong to.
"""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

PAIR = ("user_id", "item_id")


@dataclass(frozen=True)
class Targets:
    """What events can be credited to: `target`, the number of an impression, and `target_at`, the time a delay counts from."""

    by_name: pl.LazyFrame
    """impression_id, target, target_at."""
    by_pair: pl.LazyFrame
    """Those with a contested user and item: these, target (null: a click without impression), target_at; exposed_at and impression_id,
    which break ties."""
    contested: pl.LazyFrame
    """Each contested user and item once: the others have no event without impression_id."""


def credit(events: pl.LazyFrame, targets: Targets, *, at: str, window: timedelta) -> pl.LazyFrame:
    """Add `target`, the number of each event's target, null where there is none, to the events that matter, in place of impression_id.

    An event that names an impression is credited to that target or to none; one that names none, to the latest target of the same
    user and item. Both only when 0 <= `at` - target_at <= `window`. Of targets at one time the one with an impression stands, then the
    later exposed_at, then the larger impression_id. A null matches nothing.
    Events credited to nothing are kept where their user and item are contested, to stand in others' way. Returns them in no order.
    """
    columns = [name for name in events.collect_schema().names() if name != "impression_id"]
    named = pl.col("impression_id").is_not_null()
    delay = pl.col(at) - pl.col("target_at")
    credited = pl.when(delay.is_between(timedelta(0), window)).then("target").alias("target")
    by_name = (
        events.filter(named)
        .join(targets.by_name, on="impression_id", how="left")
        .select(*columns, credited)
        .join(targets.contested.with_columns(contested=True), on=PAIR, how="left")
        .filter(pl.col("target").is_not_null() | pl.col("contested"))
        .drop("contested")
    )
    unnamed = events.filter(~named).join(targets.contested, on=PAIR, how="semi").sort(at)
    rivals = _distinct(targets.by_pair)
    by_pair = unnamed.join_asof(rivals, left_on=at, right_on="target_at", by=PAIR, coalesce=False, check_sortedness=False)
    return pl.concat([by_name, by_pair.select(*columns, credited)])


def _distinct(targets: pl.LazyFrame) -> pl.LazyFrame:
    """Keep one target of a user and item at a time (nulls sort first, so a click with an impression stands), sorted for an as-of join."""
    return (
        targets.sort("target_at", "exposed_at", "impression_id")
        .unique([*PAIR, "target_at"], keep="last", maintain_order=True)
        .select(*PAIR, "target_at", "target")
    )


def find_first(credited: pl.LazyFrame, *, at: str) -> pl.LazyFrame:
    """Return the first time `at` of the events credited to each target: target, `at`."""
    return credited.drop_nulls("target").group_by("target").agg(pl.col(at).min())


def pool_clicks(clicked: pl.LazyFrame, targets: Targets) -> Targets:
    """Turn the clicks into the targets of purchases and actions, timed by `clicked_at`.

    clicked: as `credit` returns them. targets: the impressions they were credited to.
    An impression's clicks are one, at the first time, with the impression's user and item; a click without impression stays as it is.
    """
    first = find_first(clicked, at="clicked_at").rename({"clicked_at": "target_at"}).collect().lazy()
    without = clicked.filter(pl.col("target").is_null()).select(*PAIR, pl.col("clicked_at").alias("target_at"))
    by_pair = targets.by_pair.drop("target_at").join(first, on="target")
    return Targets(
        by_name=targets.by_name.drop("target_at").join(first, on="target"),
        by_pair=pl.concat([by_pair, without], how="diagonal").collect().lazy(),
        contested=targets.contested,
    )
