"""Nothing from the future: changing only later events moves no byte of a day's features or of the next day's assembled samples."""

import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components import steps
from components.inputs import assembled, open_lake
from components.profile import EVENT_TIME
from components.records import Records
from components.settings import Settings
from components.tables import DAYS, EVENTS, FEATURES, OUTCOMES, SAMPLES, Table
from tests.aggregate.rows import DAY, FULL, ONE, Row, midnight

CASES = 1000
BEFORE, NEXT, AFTER = DAY - ONE, DAY + ONE, DAY + 2 * ONE
_CLOCK = [timedelta(0), timedelta(microseconds=1), timedelta(hours=12), ONE - timedelta(minutes=1), ONE - timedelta(microseconds=1)]
_STAMPS = {"clicks": ("click_id", "clicked_at"), "actions": ("action_id", "acted_at"), "purchases": ("order_id", "purchased_at")}
Logs = dict[str, list[Row]]


def draw_logs(seed: int, *, exposed: list[date], arrived: list[date], count: int, of: list[Row] | None = None) -> Logs:
    """Draw what arrives on the given days, in each case by itself: `count` impressions, and what follows them or those of `of`."""
    chance = random.Random(seed)
    logs: Logs = {kind: [] for kind in EVENTS}
    for case in range(CASES):
        for number in range(count):
            exposed_at = midnight(chance.choice(exposed)) + chance.choice(_CLOCK)
            came = max(chance.choice(arrived), exposed_at.date())
            who = {"user_id": chance.choice([f"{case}-u", f"{case}-v", None]), "item_id": f"{case}-{chance.choice('ij')}"}
            context = {"cat_id": chance.choice([1, 2]), "shop_id": "s", "brand_id": None, "price": 9.99}
            name = {"impression_id": f"{case}-{seed}-{number}", "exposed_at": exposed_at, "position": 1, "arrived_on": came}
            logs["impressions"].append({**name, **who, **context})
    for shown in logs["impressions"] if of is None else [*logs["impressions"], *of]:
        delay = chance.choice([timedelta(0), timedelta(minutes=5), timedelta(hours=2)])
        for kind, (key, stamp) in _STAMPS.items():
            if chance.random() < 0.5:
                happened_at = shown["exposed_at"] + delay
                came = max(chance.choice(arrived), happened_at.date())
                named = chance.choice([shown["impression_id"], None]) if kind != "purchases" else None
                ids = {"impression_id": named, "user_id": shown["user_id"], "item_id": shown["item_id"]}
                key_of = f"{kind}-{seed}-{len(logs[kind])}"
                logs[kind].append({key: key_of, **ids, stamp: happened_at, "amount": 1.0, "arrived_on": came})
                delay += timedelta(minutes=1)
    return logs


def join(*parts: Logs) -> Logs:
    return {kind: [row for logs in parts for row in logs[kind]] for kind in EVENTS}


def until(logs: Logs, day: date) -> Logs:
    return {kind: [row for row in rows if row["arrived_on"] <= day] for kind, rows in logs.items()}


def settle(home: Path, logs: Logs) -> Settings:
    """Write logs as ingest would."""
    settings = Settings(home=home)
    settings.__dict__["profile"] = FULL
    lake = open_lake(settings)
    for kind, table in EVENTS.items():
        schema = table.schema(FULL)
        frame = pl.LazyFrame([{name: row.get(name) for name in schema} for row in logs[kind]], schema=schema)
        for day in (BEFORE, DAY, NEXT, AFTER):
            lake.replace(table, day, frame.filter(pl.col("arrived_on") == day).sort(EVENT_TIME[kind], *table.key))
            Records(home).write(day, f"ingest-{kind}", {})
    return settings


def run(settings: Settings, *days: date) -> None:
    """Label, relabel and aggregate days that pass their validation."""
    for day in days:
        labelled = steps.label(day, settings)
        Records(settings.root).write(day, "validate", {"success": True, "fingerprint": labelled["fingerprint"]})
        steps.relabel(day, settings)
        steps.aggregate(day, settings)


def made(settings: Settings, day: date, tables: tuple[Table, ...] = (OUTCOMES, *FEATURES, *DAYS)) -> dict[str, str]:
    return {table.name: open_lake(settings).fingerprint(table, day) for table in tables}


def assembled_day(settings: Settings, day: date) -> pl.DataFrame:
    return assembled(day, settings, first=midnight(day), end=midnight(day + ONE)).collect(engine="streaming")


@pytest.fixture(scope="module")
def past() -> Logs:
    return until(draw_logs(1, exposed=[BEFORE, DAY], arrived=[BEFORE, DAY], count=3), DAY)


@pytest.fixture(scope="module")
def base(past: Logs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Logs]:
    logs = join(past, until(draw_logs(2, exposed=[DAY, NEXT], arrived=[NEXT], count=2, of=past["impressions"]), NEXT))
    settings = settle(tmp_path_factory.mktemp("base"), logs)
    run(settings, BEFORE, DAY, NEXT)
    return settings, logs


def test_events_after_the_day_move_no_byte_of_its_features(base: tuple[Settings, Logs], past: Logs, tmp_path: Path) -> None:
    """A thousand cases, each with its own users and items; only what arrives or happens after the end of DAY differs."""
    later = draw_logs(3, exposed=[BEFORE, DAY, NEXT], arrived=[NEXT, AFTER], count=2, of=past["impressions"])
    changed = settle(tmp_path, join(past, later))
    run(changed, BEFORE, DAY, NEXT)
    assert made(changed, DAY) == made(base[0], DAY)
    assert made(changed, NEXT) != made(base[0], NEXT)
    steps.aggregate(DAY, changed)
    assert made(changed, DAY) == made(base[0], DAY)


def test_events_after_the_next_day_move_no_byte_of_its_assembled_samples(base: tuple[Settings, Logs], tmp_path: Path) -> None:
    """Nor do the labels that a later run gives the same samples."""
    settings, logs = base
    later = draw_logs(4, exposed=[DAY, NEXT, AFTER], arrived=[AFTER], count=2, of=logs["impressions"])
    changed = settle(tmp_path, join(logs, later))
    run(changed, BEFORE, DAY, NEXT, AFTER)
    found, expected = assembled_day(changed, NEXT), assembled_day(settings, NEXT)
    assert found.write_ipc(None).getvalue() == expected.write_ipc(None).getvalue()
    assert found["user_click_count_7d"].drop_nulls().sum() > CASES / 10
    newest = open_lake(changed).scan(SAMPLES, NEXT).select(pl.col("clicked").sum()).collect().item()
    assert newest > found["clicked"].sum()


def test_an_event_of_the_day_itself_does_move_bytes(base: tuple[Settings, Logs], past: Logs, tmp_path: Path) -> None:
    shown = {"impression_id": "more", "user_id": "0-u", "item_id": "0-i", "exposed_at": midnight(DAY), "arrived_on": DAY}
    changed = settle(tmp_path, join(past, {**{kind: [] for kind in EVENTS}, "impressions": [shown]}))
    run(changed, BEFORE, DAY)
    differing = {name for name, found in made(base[0], DAY).items() if found != made(changed, DAY)[name]}
    assert {"item_features", "user_features", "item_days"} <= differing


def test_aggregate_relabels_first_where_that_is_due(base: tuple[Settings, Logs], past: Logs, tmp_path: Path) -> None:
    """`esmm label; esmm validate; esmm aggregate` by hand gives what the whole day gives."""
    settings, records = settle(tmp_path, past), Records(tmp_path)
    for day in (BEFORE, DAY):
        labelled = steps.label(day, settings)
        records.write(day, "validate", {"success": True, "fingerprint": labelled["fingerprint"]})
        steps.aggregate(day, settings)
    assert made(settings, DAY) == made(base[0], DAY)
    relabelled: dict[str, Any] = records.require(DAY, "relabel")
    steps.aggregate(DAY, settings)
    assert records.require(DAY, "relabel") == relabelled
