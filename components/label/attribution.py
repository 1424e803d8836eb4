"""Which impression a click is credited to, and through which click a purchase or an action is: one rule for both.

An event names its target, or takes the latest target of the same user and item. The target of a click is an impression; the target
of a purchase or an action is a click. All frames here are small: events, and the impressions that events may belong to.

targets: impression_id (null: a click without impression), user_id, item_id, exposed_at, and `target_at`, the time a delay counts from.
"""

from datetime import timedelta

import polars as pl

PAIR = ("user_id", "item_id")


def narrow_impressions(impressions: pl.LazyFrame, clicks: pl.LazyFrame) -> pl.LazyFrame:
    """Keep the impressions that some click could be credited to: it names them, or has their user and item and names none.

    impressions: one row per impression_id. clicks: any number per impression.
    Returns targets, one row per impression_id, in no particular order.
    """
    targets = impressions.select("impression_id", *PAIR, "exposed_at", target_at="exposed_at")
    names = clicks.select("impression_id").drop_nulls().unique()
    pairs = clicks.filter(pl.col("impression_id").is_null()).select(*PAIR).unique()
    named = targets.join(names, on="impression_id", how="semi")
    paired = targets.join(pairs, on=PAIR, how="semi")
    return pl.concat([named, paired]).unique("impression_id")


def credit(events: pl.LazyFrame, targets: pl.LazyFrame, *, at: str, window: timedelta) -> pl.LazyFrame:
    """Add `credited_to`, the impression_id of each event's target, to user_id, item_id and the event's time `at`; null where there is none.

    An event that names an impression is credited to that target or to none; one that names none, to the latest target of the same
    user and item. Both only when 0 <= `at` - target_at <= `window`. Of targets at one time the one with an impression stands, then the
    later exposed_at, then the larger impression_id. A null matches nothing. Returns every event once, in no particular order.
    """
    named = pl.col("impression_id").is_not_null()
    known = targets.filter(named).select("impression_id", "target_at", target_id="impression_id")
    by_name = events.filter(named).join(known, on="impression_id", how="left", validate="m:1")
    by_pair = (
        events.filter(~named)
        .sort(at)
        .join_asof(_distinct(targets), left_on=at, right_on="target_at", by=PAIR, coalesce=False, check_sortedness=False)
    )
    delay = pl.col(at) - pl.col("target_at")
    credited_to = pl.when(delay.is_between(timedelta(0), window)).then("target_id")
    return pl.concat([frame.select(*PAIR, at, credited_to=credited_to) for frame in (by_name, by_pair)])


def _distinct(targets: pl.LazyFrame) -> pl.LazyFrame:
    """Keep one target of a user and item at a time (nulls sort first, so a click with an impression stands), sorted for an as-of join."""
    return (
        targets.drop_nulls(PAIR)
        .sort("target_at", "exposed_at", "impression_id")
        .unique([*PAIR, "target_at"], keep="last", maintain_order=True)
        .select(*PAIR, "target_at", target_id="impression_id")
    )


def find_first(credited: pl.LazyFrame, *, at: str) -> pl.LazyFrame:
    """Return the first time `at` of the events credited to each impression: impression_id, `at`."""
    return credited.drop_nulls("credited_to").group_by(impression_id="credited_to").agg(pl.col(at).min())


def pool_clicks(credited: pl.LazyFrame, targets: pl.LazyFrame) -> pl.LazyFrame:
    """Turn the clicks into the targets of purchases and actions, timed by `clicked_at`.

    credited: as `credit` returns it. targets: the impressions they were credited to.
    An impression's clicks are one, at the first time, with the impression's user and item; a click without impression stays as it is.
    """
    first = find_first(credited, at="clicked_at")
    with_impression = targets.drop("target_at").join(first, on="impression_id", validate="1:1")
    without = credited.filter(pl.col("credited_to").is_null()).drop("credited_to")
    return pl.concat([with_impression, without], how="diagonal").rename({"clicked_at": "target_at"})
