"""The outcomes of some of a day's impressions, from all that competes with them: rival impressions of the user and item, their clicks.

A pair (user, item) is contested where an event without impression_id has it. Elsewhere every event names its impression and no other
impression matters: so of other days, and of the day's other candidates, only the rivals of contested pairs are held.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import polars as pl

from components.label.attribution import PAIR, Targets, credit, find_first, pool_clicks
from components.label.candidates import NARROW, ROW, Sieve
from components.label.events import Labelling, Log, drop_repeats, pour
from components.profile import EVENT_KEY, EVENT_TIME, Kind

Logs = Mapping[Kind, Log]
_UNNAMED = pl.col("impression_id").is_null()


def find_outcomes(part: pl.DataFrame, others: pl.LazyFrame, logs: Logs, labelling: Labelling) -> pl.DataFrame:
    """Return impression_id, exposed_at and `row` of the impressions of `part` that were clicked, clicked_at, acted_at and converted_at.

    part: some of the day's candidates (NARROW and `row`), all or none of a pair. others: the rest.
    logs: as `Labelling.see` returns them.
    """
    contested = _find_contested(part, logs)
    rivals = _find_rivals(part, others, contested, logs, labelling)
    impressions = pl.concat([part.select(NARROW), rivals]).lazy().with_columns(target_at="exposed_at").with_row_index("target")
    targets = Targets(
        by_name=impressions.select("impression_id", "target", "target_at"),
        by_pair=impressions.join(contested, on=PAIR, how="semi").collect().lazy(),
        contested=contested,
    )
    clicked = _credit(logs, "clicks", targets, labelling.windows.click_window)
    pool, outcomes = pool_clicks(clicked, targets), find_first(clicked, at="clicked_at")
    kinds: tuple[Kind, ...] = ("actions", "purchases")
    for kind in kinds:
        credited = _credit(logs, kind, pool, labelling.windows.conversion_window)
        outcomes = outcomes.join(find_first(credited, at=EVENT_TIME[kind]), on="target", how="left")
    of_part = part.lazy().select("impression_id", "exposed_at", ROW).with_row_index("target")
    return of_part.join(outcomes, on="target").drop("target").rename({"purchased_at": "converted_at"}).collect()


def _credit(logs: Logs, kind: Kind, targets: Targets, window: timedelta) -> pl.LazyFrame:
    """Credit the events of a log, each key once; computed now."""
    log, at = logs[kind], EVENT_TIME[kind]
    repeatable = [EVENT_KEY[kind], "arrived_on"] if len(log) > 1 else []
    events = pour(log).select(*repeatable, "impression_id", *PAIR, at)
    if events.filter(~_UNNAMED).limit(1).collect(engine="streaming").is_empty():
        targets = replace(targets, by_name=targets.by_name.limit(0))  # or they would be hashed for nothing
    credited = credit(events, targets, at=at, window=window).collect(engine="streaming")
    return (drop_repeats(credited, log, kind) if repeatable else credited).lazy()


def _find_contested(part: pl.DataFrame, logs: Logs) -> pl.LazyFrame:
    """Return the pairs of `part` that events without impression_id have, each once."""
    unnamed = (pour(log).filter(_UNNAMED).select(PAIR) for kind, log in logs.items() if kind != "impressions")
    contested = pl.concat(unnamed).join(part.lazy().select(PAIR), on=PAIR, how="semi").unique()
    return contested.collect(engine="streaming").lazy()


def _find_rivals(part: pl.DataFrame, others: pl.LazyFrame, contested: pl.LazyFrame, logs: Logs, labelling: Labelling) -> pl.DataFrame:
    """Return the impressions outside `part` that have a contested pair, or are named by a click that has one: NARROW."""
    if contested.collect().is_empty():
        return part.select(NARROW).clear()
    clicks = pour(logs["clicks"]).filter(~_UNNAMED).join(contested, on=PAIR, how="semi")
    names = clicks.select("impression_id").unique().collect(engine="streaming").lazy()
    sieve, kept = Sieve.of(names, contested), [part.select(NARROW).clear().with_columns(arrived_on=pl.lit(labelling.day))]
    for impressions in logs["impressions"].values():  # one after the other: read side by side, each holds its own batches
        sifted = sieve.read_through(impressions.filter(~labelling.on_day).select(*NARROW, "arrived_on"))
        rivalling = _mark(sifted.lazy(), names, contested).filter(pl.col("named") | pl.col("paired"))
        kept.append(rivalling.select(kept[0].columns).collect())
    other_days = drop_repeats(pl.concat(kept), logs["impressions"], "impressions")
    same_day = others.join(names, on="impression_id", how="semi").select(NARROW)
    return pl.concat([other_days.select(NARROW), same_day.collect(engine="streaming")])


def _mark(rows: pl.LazyFrame, names: pl.LazyFrame, pairs: pl.LazyFrame) -> pl.LazyFrame:
    """Add `named` and `paired`: true where a row's impression_id, or its user and item, are among those given (each once), else null."""
    by_name = rows.join(names.with_columns(named=True), on="impression_id", how="left")
    return by_name.join(pairs.with_columns(paired=True), on=PAIR, how="left")
