"""What labels tell: which outcomes became known since the labelling before, and how complete the conversions are by delay."""

from datetime import timedelta
from itertools import takewhile
from typing import Any

import polars as pl

_HAPPENED = {"click": "clicked_at", "action": "acted_at", "conversion": "converted_at"}
_DELAYS = (
    *(timedelta(minutes=minutes) for minutes in (30, 60, 180, 360, 720)),
    *(timedelta(days=days) for days in (1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 28)),
)
_NOT_CONTEXT = ("position", "clicked", "acted", "converted", "labelled_through", "matures_at", "day", *_HAPPENED.values())


def learn_outcomes(after: pl.LazyFrame, before: pl.LazyFrame | None) -> pl.LazyFrame:
    """Return the outcomes that the newest labels of a day show and the previous ones did not; all of them where `before` is None.

    after, before: samples of one day, as the lake keeps them. An outcome is known by its impression and kind; one whose time has changed
    is not new. Returns rows of `outcomes` without `day`, in the order of the samples, then click, action, conversion. Streams: only what
    was clicked is held.
    """
    known = _list_outcomes(after)
    if before is None:
        return known
    key = ["impression_id", "outcome"]
    return known.join(_list_outcomes(before).select(key), on=key, how="anti", maintain_order="left")


def _list_outcomes(samples: pl.LazyFrame) -> pl.LazyFrame:
    """Return a row for each click, action and conversion: impression_id, user_id, item_id, exposed_at, outcome, happened_at, context."""
    impression = ("impression_id", "user_id", "item_id", "exposed_at")
    happened = pl.concat_list(pl.struct(pl.lit(kind).alias("outcome"), pl.col(at).alias("happened_at")) for kind, at in _HAPPENED.items())
    return (
        samples.filter("clicked")
        .select(*impression, happened.alias("happened"), pl.exclude(*impression, *_NOT_CONTEXT))
        .explode("happened")
        .unnest("happened")
        .filter(pl.col("happened_at").is_not_null())
    )


def trace_completeness(samples: pl.LazyFrame, *, conversion_window: timedelta) -> dict[str, Any]:
    """Count clicks, actions and conversions, and tell which share of the conversions followed their click within given delays.

    Returns `clicks`, `actions`, `conversions` and `completeness`: `delay_s` (fixed delays, then the window itself) and `share`, in
    ascending order; no entries where there is no conversion. Relative to the conversions known when the samples were labelled.
    """
    delays = [*takewhile(lambda delay: delay < conversion_window, _DELAYS), conversion_window]
    delay = pl.col("converted_at") - pl.col("clicked_at")
    sums = {"clicks": "clicked", "actions": "acted", "conversions": "converted"}
    counts = [pl.col(column).sum().alias(name) for name, column in sums.items()]
    within = [(delay <= limit).sum().alias(f"within {number}") for number, limit in enumerate(delays)]
    found = samples.filter("clicked").select(*counts, *within).collect(engine="streaming").row(0, named=True)
    shares = [
        {"delay_s": int(limit.total_seconds()), "share": found[f"within {number}"] / found["conversions"]}
        for number, limit in enumerate(delays)
        if found["conversions"]
    ]
    return {**{name: found[name] for name in sums}, "completeness": shares}
