"""Nothing from the future: changing only later events moves no byte of a day's samples, features or assembled rows."""

from datetime import UTC, date, datetime, time, timedelta

import polars as pl
import pytest

from components.aggregate.assembly import assemble
from components.aggregate.features import item_features, user_features
from components.label.samples import label_samples
from components.settings import Aggregate, Labels
from tests.aggregate.rows import serialise
from tests.label.logs import DAY, event, frame, impression, purchase

KINDS = ("impressions", "clicks", "actions", "purchases")
ONE, DAY_S = timedelta(days=1), 86_400
NEXT, BEFORE = DAY + ONE, DAY - ONE
Logs = dict[str, list[tuple[object, ...]]]

PAST: Logs = {
    "impressions": [
        impression("a", -50_000, arrived=BEFORE),
        impression("b", -40_000, "v", "j", arrived=BEFORE),
        impression("c", 100),
        impression("d", 200, "v"),
        impression("e", 300, None, "j"),
        impression("f", DAY_S - 10, "v", "j"),
    ],
    "clicks": [event("1", -49_000, arrived=BEFORE), event("2", 250), event("3", 400, "e", None), event("4", DAY_S - 5, user="v", item="j")],
    "actions": [event("1", 300)],
    "purchases": [purchase("1", -48_000, arrived=BEFORE), purchase("2", 500)],
}
FUTURE: Logs = {
    "impressions": [
        impression("g", 150, arrived=NEXT),
        impression("c", 90, arrived=NEXT),
        impression("h", DAY_S + 5, "v", "j", arrived=NEXT),
        impression("k", 5 * DAY_S, arrived=DAY + 5 * ONE),
    ],
    "clicks": [
        event("2", 240, arrived=NEXT),
        event("9", 210, user="v", arrived=NEXT),
        event("8", DAY_S + 60, "b", arrived=NEXT),
        event("7", DAY_S + 70, arrived=NEXT),
    ],
    "actions": [event("9", 310, arrived=NEXT), event("8", DAY_S + 100, arrived=NEXT)],
    "purchases": [purchase("9", 260, arrived=NEXT), purchase("8", DAY_S + 200, user="v", item="j", arrived=NEXT)],
}


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def samples_of(logs: Logs, day: date, through: datetime | None = None) -> pl.LazyFrame:
    frames = {kind: frame(kind, logs[kind]) for kind in KINDS}
    labelled = label_samples(**frames, day=day, labelled_through=through or midnight(day + ONE), windows=Labels())
    return labelled.with_columns(day=pl.lit(day))


def outputs(logs: Logs, *, later: tuple[date, ...] = ()) -> dict[str, bytes]:
    """Return the bytes of a day's samples, features and assembled rows, with samples of `later` days lying about."""
    samples = pl.concat([samples_of(logs, BEFORE), samples_of(logs, DAY), *(samples_of(logs, day) for day in later)])
    made = {}
    for day in (BEFORE, DAY):
        made[f"users {day}"] = user_features(samples, day=day, options=Aggregate(), category="scene").with_columns(day=pl.lit(day))
        made[f"items {day}"] = item_features(samples, day=day, options=Aggregate()).with_columns(day=pl.lit(day))
    made["samples"] = samples_of(logs, DAY)
    made["assembled"] = assemble(samples_of(logs, DAY), made[f"users {BEFORE}"], made[f"items {BEFORE}"])
    return {name: serialise(table) for name, table in made.items()}


def test_events_that_arrive_later_move_no_byte() -> None:
    both = {kind: PAST[kind] + FUTURE[kind] for kind in KINDS}
    assert outputs(both) == outputs(PAST)


def test_samples_of_later_days_move_no_byte() -> None:
    both = {kind: PAST[kind] + FUTURE[kind] for kind in KINDS}
    assert outputs(both, later=(NEXT, DAY + 5 * ONE)) == outputs(PAST)


def test_labels_learnt_after_the_day_move_no_byte_of_its_features() -> None:
    """An earlier day labelled again with a later cut-off tells its features only what happened before their own end."""
    clicks = [event("8", DAY_S + 60, "b", arrived=NEXT), event("7", DAY_S + 70, "c", arrived=NEXT)]
    known = {name: found for name, found in outputs(PAST).items() if name.startswith(("users", "items"))}
    later = PAST | {"clicks": PAST["clicks"] + clicks, "purchases": [*PAST["purchases"], purchase("8", DAY_S + 80, "a", arrived=NEXT)]}
    samples = pl.concat([samples_of(PAST, BEFORE), samples_of(later, DAY, midnight(DAY + 2 * ONE))])
    assert samples.select(pl.col("clicked").sum()).collect().item() > samples_of(PAST, DAY).select(pl.col("clicked").sum()).collect().item()
    users = user_features(samples, day=DAY, options=Aggregate(), category="scene").with_columns(day=pl.lit(DAY))
    items = item_features(samples, day=DAY, options=Aggregate()).with_columns(day=pl.lit(DAY))
    assert (serialise(users), serialise(items)) == (known[f"users {DAY}"], known[f"items {DAY}"])


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_of_the_day_itself_does_move_bytes(kind: str) -> None:
    more = {
        "impressions": impression("z", 700),
        "clicks": event("9", 210, user="v"),
        "actions": event("9", DAY_S - 3, user="v", item="j"),
        "purchases": purchase("9", DAY_S - 3, user="v", item="j"),
    }
    changed = outputs(PAST | {kind: [*PAST[kind], more[kind]]})
    assert {name for name, found in outputs(PAST).items() if found != changed[name]} >= {"samples", "assembled", f"items {DAY}"}
