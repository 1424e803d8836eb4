"""How many of a click's conversions its label shows yet: F(e) by label age e, from what earlier days' labels showed before training.

e = labelled_through - clicked_at. F(e) is the share of the conversions within the window whose delay from the click is e at most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from components.model.losses.loss import KNOWN_SHARE

PRIOR = 10
"""Conversions that are taken to have come at once: where few are known, F is drawn towards 1, no correction (ours)."""


@dataclass(frozen=True)
class Delays:
    """F at some delays in ascending order, from 0 to the window, where it is 1; straight lines between."""

    delays_s: Sequence[int]
    shares: Sequence[float]

    def known_share(self) -> pl.Expr:
        """Return F for samples as the lake keeps them, 1 where the label is mature.

        A row without a click, whose click would have come soon, has its exposure's age.
        """
        age = pl.col("labelled_through") - pl.coalesce("clicked_at", "exposed_at")
        known = age.dt.total_seconds().map_batches(self._read, return_dtype=pl.Float64, is_elementwise=True)
        mature = pl.col("matures_at") <= pl.col("labelled_through")
        return pl.when(mature).then(1.0).otherwise(known).alias(KNOWN_SHARE)

    def _read(self, age_s: pl.Series) -> pl.Series:
        return pl.Series(np.interp(age_s.to_numpy(), self.delays_s, self.shares))


def estimate_delays(days: Mapping[str, Mapping[str, Any]], *, click_window: timedelta) -> Delays:
    """Return F from the completeness curves of days, as the record of `relabel` has them.

    A day counts at the delays that its youngest click, `click_window` after its end, has reached: at all where it is mature. Going down
    from F(window) = 1, F(earlier) / F(later) is the share of the conversions no later than `later` that are no later than `earlier`,
    among the days that count: the product-limit estimate for delays that are seen only when short enough (Lynden-Bell 1971, MNRAS 155;
    Woodroofe 1985, Ann. Statist. 13). A delay that no day has reached is taken to have no conversions. Without any day F is 1.
    """
    curves = [(_reach_s(day, found, click_window), _counts(found)) for day, found in days.items() if found["completeness"]]
    edges = [0, *sorted({delay for _, counts in curves for delay in counts} - {0})]
    shares = [1.0]
    for earlier, later in reversed(list(pairwise(edges))):
        reached = [counts for reach, counts in curves if reach >= later]
        below, within = (PRIOR + sum(counts[edge] for counts in reached) for edge in (earlier, later))
        shares.append(shares[-1] * below / within)
    return Delays(edges, shares[::-1])


def _reach_s(day: str, found: Mapping[str, Any], click_window: timedelta) -> float:
    last_click = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1) + click_window
    return (datetime.fromisoformat(found["labelled_through"]) - last_click).total_seconds()


def _counts(found: Mapping[str, Any]) -> dict[int, int]:
    """Return the conversions no later than each delay."""
    return {0: 0, **{point["delay_s"]: round(point["share"] * found["conversions"]) for point in found["completeness"]}}
