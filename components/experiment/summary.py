"""From runs to what they say: mean and spread over seeds, paired differences to ESMM with t intervals, share of the Bayes ceiling."""

import math

import polars as pl
from scipy import stats

from components.experiment.arms import ESMM, ORACLE

CONFIDENCE = 0.95
CEILINGS = {
    "cvr_auc": "cvr_auc",
    "ctcvr_auc_own": "ctcvr_auc_own",
    "ctr_auc": "ctr_auc",
    "cvr_auc_all": "cvr_auc_all",
    "cvr_auc_unclicked": "cvr_auc_unclicked",
    "cvr_auc_pairs": "cvr_auc_pairs",
    "ctcvr_auc": "ctcvr_auc_own",
}
"""AUC -> the oracle's AUC that bounds it: of CTCVR with the reference's pCTR, the oracle's with its own."""


def summarise(runs: pl.DataFrame) -> pl.DataFrame:
    """Return one row per arm and metric, arms and metrics in the order of `runs`.

    runs: arm, seed, metric, value.  Columns: seeds (runs where it is defined), of_seeds, mean, sd (null for one seed), difference (mean
    of the paired differences to ESMM), low, high (its t interval, from two pairs up), share (of the ceiling's distance from 1/2). What
    is undefined is null. Intervals tell of the seeds alone: the test day is the same in all.
    """
    paired = _beside(_beside(runs, ESMM, "esmm"), ORACLE, "ceiling")
    per_arm = paired.group_by("arm", "metric", maintain_order=True).agg(
        seeds=pl.col("value").count(),
        of_seeds=pl.len(),
        mean=pl.col("value").mean(),
        sd=pl.col("value").std(),
        share=((pl.col("value") - 0.5) / (pl.col("ceiling") - 0.5)).filter(pl.col("ceiling") > 0.5).mean(),
        difference=(pl.col("value") - pl.col("esmm")).mean(),
        spread=(pl.col("value") - pl.col("esmm")).std(),
        pairs=(pl.col("value") - pl.col("esmm")).count(),
    )
    reach = pl.struct("spread", "pairs").map_elements(lambda row: t_reach(**row), return_dtype=pl.Float64)
    to_esmm = pl.when(pl.col("arm") != ESMM)
    return per_arm.with_columns(reach=reach).select(
        "arm",
        "metric",
        "seeds",
        "of_seeds",
        "mean",
        "sd",
        difference=to_esmm.then("difference"),
        low=to_esmm.then(pl.col("difference") - pl.col("reach")),
        high=to_esmm.then(pl.col("difference") + pl.col("reach")),
        share="share",
    )


def t_reach(spread: float | None, pairs: int) -> float | None:
    """Return half the width of the t interval of a mean of `pairs` numbers with this standard deviation; None below two."""
    if spread is None or pairs < 2:
        return None
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, pairs - 1)) * spread / math.sqrt(pairs)


def _beside(runs: pl.DataFrame, arm: str, name: str) -> pl.DataFrame:
    """Add another arm's value of the same seed, for the oracle's that of the AUC that is the ceiling."""
    bounded = pl.col("metric").replace_strict(CEILINGS, default=None, return_dtype=pl.String) if arm == ORACLE else pl.col("metric")
    other = runs.filter(pl.col("arm") == arm).select("seed", pl.col("metric").alias("_asked"), pl.col("value").alias(name))
    asked = runs.with_columns(_asked=bounded)
    return asked.join(other, on=["seed", "_asked"], how="left", validate="m:1", maintain_order="left").drop("_asked")
