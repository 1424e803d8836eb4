"""A day's samples: its impressions, each with its click, action and conversion as far as a cut-off shows them."""

from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import polars as pl

from components.label.attribution import credit, find_first, narrow_impressions, pool_clicks
from components.label.events import hold, select_events
from components.settings import Labels
from components.tables import INSTANT

_OUTCOMES = {"clicked": "clicked_at", "acted": "acted_at", "converted": "converted_at"}
_LEADING = ("impression_id", "user_id", "item_id", "exposed_at", "position")


def label_samples(
    impressions: pl.LazyFrame,
    clicks: pl.LazyFrame,
    actions: pl.LazyFrame,
    purchases: pl.LazyFrame,
    *,
    day: date,
    labelled_through: datetime,
    windows: Labels,
) -> pl.LazyFrame:
    """Label the impressions exposed on `day` with the events known before `labelled_through`.

    impressions, clicks, actions, purchases: rows of those tables, with `arrived_on`; other arrival days may be among them.
    labelled_through: UTC, at the end of `day` or later. Impressions exposed on another day compete for clicks but are not returned.
    Returns the columns of `samples` without `day`, sorted by exposed_at, impression_id: the same bytes in whatever order rows came.
    Raises ValueError when the cut-off is naive or before the end of the day.
    """
    start = datetime.combine(day, time(), UTC)
    _check_cut_off(labelled_through, start + timedelta(days=1))
    through = labelled_through.astimezone(UTC)
    known = partial(select_events, day=day, labelled_through=through)
    shown = known(impressions, key="impression_id", at="exposed_at")
    outcomes = _find_outcomes(
        shown,
        hold(known(clicks, key="click_id", at="clicked_at")),
        hold(known(actions, key="action_id", at="acted_at")),
        hold(known(purchases, key="order_id", at="purchased_at")),
        windows=windows,
    )
    exposed = shown.filter(pl.col("exposed_at").is_between(start, start + timedelta(days=1), closed="left"))
    # No `validate`: it would collect the day. Rows cannot multiply: `outcomes` is grouped by impression_id.
    labelled = exposed.join(outcomes, on="impression_id", how="left")
    return _finish(labelled, through, windows).sort("exposed_at", "impression_id")


def _find_outcomes(
    impressions: pl.LazyFrame, clicks: pl.LazyFrame, actions: pl.LazyFrame, purchases: pl.LazyFrame, *, windows: Labels
) -> pl.LazyFrame:
    """Return impression_id, clicked_at, acted_at, converted_at of each impression that was clicked."""
    targets = hold(narrow_impressions(impressions, clicks))
    clicked = hold(credit(clicks, targets, at="clicked_at", window=windows.click_window))
    pool = hold(pool_clicks(clicked, targets))
    acted = credit(actions, pool, at="acted_at", window=windows.conversion_window)
    bought = credit(purchases, pool, at="purchased_at", window=windows.conversion_window)
    return hold(
        find_first(clicked, at="clicked_at")
        .join(find_first(acted, at="acted_at"), on="impression_id", how="left", validate="1:1")
        .join(find_first(bought, at="purchased_at"), on="impression_id", how="left", validate="1:1")
        .rename({"purchased_at": "converted_at"})
    )


def _finish(labelled: pl.LazyFrame, through: datetime, windows: Labels) -> pl.LazyFrame:
    outcomes = [column for done, at in _OUTCOMES.items() for column in (pl.col(at).is_not_null().alias(done), pl.col(at))]
    matures_at = pl.col("exposed_at") + windows.click_window + windows.conversion_window
    return labelled.select(
        *_LEADING,
        *outcomes,
        pl.lit(through, INSTANT).alias("labelled_through"),
        matures_at.alias("matures_at"),
        pl.exclude(*_LEADING, *_OUTCOMES.values(), "arrived_on"),
    )


def _check_cut_off(labelled_through: datetime, end: datetime) -> None:
    if labelled_through.tzinfo is None or labelled_through < end:
        raise ValueError(
            f"labelled_through: expected an aware time at or after the day's end {end}, found {labelled_through}; move the cut-off"
        )
