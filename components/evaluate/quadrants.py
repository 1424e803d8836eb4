"""Items by observed (CTR, CVR), above or below the median: shows items that convert well and are seldom shown."""

import polars as pl

from components.evaluate.tasks import Json

NAMES = ("high_ctr_high_cvr", "high_ctr_low_cvr", "low_ctr_high_cvr", "low_ctr_low_cvr")
_COUNTS = ("impressions", "clicks", "conversions")


def item_quadrants(scored: pl.DataFrame) -> Json | None:
    """Return items, impressions, clicks and conversions per quadrant; None without item ids or without a clicked item.

    Only clicked items have a CVR, so the medians are theirs and the others are counted apart, as `unclicked`. High is above the median.
    """
    if "item_id" not in scored.columns:
        return None
    items = scored.group_by("item_id").agg(impressions=pl.len(), clicks=pl.col("clicked").sum(), conversions=pl.col("converted").sum())
    clicked = items.filter(pl.col("clicks") > 0).with_columns(
        ctr=pl.col("clicks") / pl.col("impressions"), cvr=pl.col("conversions") / pl.col("clicks")
    )
    if clicked.is_empty():
        return None
    medians = clicked.select(pl.median("ctr", "cvr")).row(0, named=True)
    high_ctr, high_cvr = pl.col("ctr") > medians["ctr"], pl.col("cvr") > medians["cvr"]
    parts = (high_ctr & high_cvr, high_ctr & ~high_cvr, ~high_ctr & high_cvr, ~high_ctr & ~high_cvr)
    quadrants = {name: _totals(clicked.filter(part)) for name, part in zip(NAMES, parts, strict=True)}
    unclicked = _totals(items.filter(pl.col("clicks") == 0))
    return {"median_ctr": medians["ctr"], "median_cvr": medians["cvr"], "quadrants": quadrants, "unclicked": unclicked}


def _totals(items: pl.DataFrame) -> Json:
    return {"items": items.height, **{name: int(items[name].sum()) for name in _COUNTS}}
