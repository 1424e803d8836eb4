"""Small drawn days for the aggregate tests: what was shown, and what became of it on that day or later."""

import random
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from components.aggregate.snapshots import Snapshots
from components.buckets import WHOLE
from components.disk import scratch_folder
from components.lake import Lake
from components.profile import Profile
from components.records import Records
from components.settings import Settings
from components.tables import FEATURES, OUTCOMES, SAMPLES

DAY = date(2024, 5, 30)
ONE = timedelta(days=1)
CONTEXT = {"cat_id": "integer", "shop_id": "string", "brand_id": "string", "price": "float"}
ROLES = {"category": "cat_id", "shop": "shop_id", "brand": "brand_id", "price": "price"}
Row = dict[str, Any]


def profile(**roles: str) -> Profile:
    """Return a profile whose context columns may have roles."""
    ids = {"user_id": "user_id", "item_id": "item_id"}
    return Profile.model_validate(
        {
            "name": "drawn",
            "impressions": {"columns": {"impression_id": "impression_id", **ids, "exposed_at": "exposed_at"}, "context": CONTEXT},
            "clicks": {"columns": {**ids, "clicked_at": "clicked_at"}},
            "actions": {"columns": {**ids, "acted_at": "acted_at"}},
            "purchases": {"columns": {"order_id": "order_id", **ids, "purchased_at": "purchased_at"}},
            "fields": [],
            **roles,
        }
    )


FULL, BARE = profile(**ROLES), profile()


def midnight(day: date) -> datetime:
    """Return the first instant of a day."""
    return datetime.combine(day, time(), UTC)


def impression(name: str, exposed_at: datetime, user: str | None = "u", item: str = "i", **context: Any) -> Row:
    """Return what `samples` and `outcomes` have in common."""
    return {
        "impression_id": name,
        "user_id": user,
        "item_id": item,
        "exposed_at": exposed_at,
        **dict.fromkeys(CONTEXT),
        **context,
        "day": exposed_at.date(),
    }


def outcome(shown: Row, kind: str, delay: timedelta, *, known_on: date | None = None) -> Row:
    """Return an outcome of an impression, known on the day it happened unless `known_on` says otherwise."""
    happened_at = shown["exposed_at"] + delay
    return {**shown, "outcome": kind, "happened_at": happened_at, "day": known_on or happened_at.date()}


def draw(seed: int, count: int, *, first: date, days: int, users: int = 4, life: int = 400) -> tuple[list[Row], list[Row]]:
    """Draw impressions and outcomes of `days` days.

    Instants fall on midnights and into one second, outcomes become known up to four days late, ids may be null, prices absent or no
    numbers, and each user is only there for `life` days.
    """
    chance = random.Random(seed)
    shown, outcomes = [], []
    for number in range(count):
        back = chance.randrange(days)
        exposed_at = midnight(first + timedelta(days=back)) + chance.choice(
            [timedelta(0), timedelta(hours=12), timedelta(hours=23, minutes=59)]
        )
        user = chance.choice([f"u{(back // life) * users + who}" for who in range(users)] + [None])
        context = {
            "cat_id": chance.choice([1, 2, None]),
            "shop_id": chance.choice(["s", "t", None]),
            "brand_id": chance.choice(["b", None]),
            "price": chance.choice([0.1, 0.2, 19.99, 1e12, float("nan"), None]),
        }
        row = impression(f"{seed}-{number:05}", exposed_at, user, chance.choice("ijkl"), **context)
        shown.append(row)
        if chance.random() < 0.5:
            delay = timedelta(minutes=chance.choice([0, 1, 60]), microseconds=chance.choice([0, 0, 1, 999_999]))
            late = timedelta(days=chance.choice([0, 0, 0, 1, 4]))
            outcomes.append(outcome(row, "click", delay, known_on=(exposed_at + delay).date() + late))
            for kind in ("action", "conversion"):
                if chance.random() < 0.5:
                    after = delay + timedelta(hours=chance.choice([0, 1, 30, 100]))
                    outcomes.append(outcome(row, kind, after, known_on=(exposed_at + after).date() + late))
    return shown, outcomes


class World:
    """A home whose samples and outcomes are given."""

    def __init__(self, home: Path, shown: list[Row], outcomes: list[Row], declared: Profile = FULL, **options: Any) -> None:
        """Write samples and outcomes of every day from the first to the last impression."""
        self.settings = Settings(home=home, aggregate=options)
        self.lake, self.records = Lake(self.settings.lake_uri, declared), Records(home)
        self.snapshots = Snapshots(self.lake, self.records, self.settings, lambda day: self.lake.scan(SAMPLES, day))
        self.shown, self.outcomes = shown, outcomes

    def learn(self, day: date) -> None:
        """Write what became known on a day, and what `label` and `relabel` would record."""
        for table, rows in ((SAMPLES, self.shown), (OUTCOMES, self.outcomes)):
            schema = table.schema(self.lake.profile)
            mine = [{name: row.get(name) for name in schema} for row in rows if row["day"] == day]
            version = self.lake.replace(table, day, pl.LazyFrame(mine, schema=schema))
            self.records.write(day, "label" if table is SAMPLES else "relabel", {"table_version": version, "fingerprint": str(len(mine))})

    def aggregate(self, day: date) -> dict[str, Any]:
        """Do what the step does."""
        with scratch_folder(self.settings.root / "scratch") as scratch:
            self.snapshots.prepare(day, WHOLE, scratch)
            return self.records.write(day, "aggregate", self.snapshots.write(day, [scratch]))

    def run(self, first: date, last: date) -> dict[str, Any]:
        """Learn and aggregate each day; return the last record."""
        record = {}
        for number in range((last - first).days + 1):
            self.learn(first + number * ONE)
            record = self.aggregate(first + number * ONE)
        return record

    def rows(self, day: date) -> dict[str, list[Row]]:
        """Return the features of a day, by table, without `day`."""
        return {table.name: self.lake.scan(table, day).drop("day").collect().to_dicts() for table in FEATURES}

    def fingerprints(self, day: date) -> dict[str, str]:
        """Return the fingerprints of the features of a day."""
        return {table.name: self.lake.fingerprint(table, day) for table in FEATURES}
