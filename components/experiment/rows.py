"""What an arm changes about the rows it trains on: which impressions its conversion tower counts as clicks, or how often.

Choices are made by a hash of the impression and the seed: the same rows whatever their order. Where a choice moves `clicked`, the column
says what the conversion tower learns from, and the network's pCTR means nothing (`Arm.own_ctr`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

REJECTION_QUANTILE = 0.1
"""Clicks up to this quantile of pCTR are all kept; of the others c / pCTR, where c is the quantile (ours: the paper gives no constant)."""
_STEPS = 1 << 24  # of a draw


@dataclass(frozen=True)
class Given:
    """What a choice is made from."""

    rows: pl.LazyFrame
    """Training rows in time order: impression_id, exposed_at, clicked, converted and what the model reads."""
    pctr: pl.LazyFrame
    """impression_id and `reference_pctr` of the clicked training rows, by the separately trained CTR network."""
    seed: int


Choice = Callable[[Given], pl.LazyFrame]


def every_row(given: Given) -> pl.LazyFrame:
    """Keep the rows as they are."""
    return given.rows


def unclicked_as_negatives(rate: float) -> Choice:
    """Count a share `rate` of the unclicked impressions as clicks without conversion (AMAN: all missing as negative)."""

    def choose(given: Given) -> pl.LazyFrame:
        return given.rows.with_columns(clicked=pl.col("clicked") | (draw(given.seed) < rate))

    return choose


def conversions_repeated(times: int) -> Choice:
    """Let each converted click be there `times` times, next to itself in time (OVERSAMPLING)."""

    def choose(given: Given) -> pl.LazyFrame:
        rows = given.rows
        for _ in range(times - 1):
            rows = rows.merge_sorted(given.rows.filter("converted"), key="exposed_at")
        return rows

    return choose


def clicks_rejected_by_pctr(given: Given) -> pl.LazyFrame:
    """Keep clicks with chance min(1, c / pCTR), so that those left look like impressions (UNBIAS); the others count as unclicked."""
    certain = given.pctr.select(pl.col("reference_pctr").quantile(REJECTION_QUANTILE)).collect().item()
    joined = given.rows.join(given.pctr, on="impression_id", how="left", validate="m:1", maintain_order="left")
    kept = pl.col("clicked") & (draw(given.seed) * pl.col("reference_pctr") < certain).fill_null(False)
    return joined.with_columns(clicked=kept, converted=kept & pl.col("converted")).drop("reference_pctr")


def sampled(rows: pl.LazyFrame, share: float, seed: int) -> pl.LazyFrame:
    """Keep a share of the impressions, the same for every arm, independent of what arms draw (the paper's sampling curve)."""
    return rows if share == 1 else rows.filter(draw(seed, purpose=1) < share)


def draw(seed: int, purpose: int = 0) -> pl.Expr:
    """Return a number in [0, 1) for each impression_id, evenly spread, stable within one version of Polars; two purposes, 0 and 1."""
    return (pl.col("impression_id").hash(2 * seed + purpose) % _STEPS).cast(pl.Float64) / _STEPS
