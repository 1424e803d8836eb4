"""Small literal samples for the aggregate tests."""

import random
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from components.tables import INSTANT

DAY = date(2024, 5, 30)
SCHEMA: dict[str, Any] = {
    "impression_id": pl.String,
    "user_id": pl.String,
    "item_id": pl.String,
    "exposed_at": INSTANT,
    "position": pl.Int32,
    "clicked": pl.Boolean,
    "clicked_at": INSTANT,
    "acted": pl.Boolean,
    "acted_at": INSTANT,
    "converted": pl.Boolean,
    "converted_at": INSTANT,
    "labelled_through": INSTANT,
    "matures_at": INSTANT,
    "cat_id": pl.Int64,
    "day": pl.Date,
}
_OUTCOMES = {"clicked": "clicked_at", "acted": "acted_at", "converted": "converted_at"}


def midnight(day: date) -> datetime:
    """Return the first instant of a day."""
    return datetime.combine(day, time(), UTC)


def sample(
    name: str, exposed_at: datetime, user: str | None = "u", item: str = "i", category: int | None = None, **delays: timedelta
) -> dict[str, Any]:
    """Return a row of `samples`; each of clicked, acted, converted may be given as the delay from the exposure."""
    row: dict[str, Any] = {"impression_id": name, "user_id": user, "item_id": item, "exposed_at": exposed_at, "position": 1}
    for done, at in _OUTCOMES.items():
        row |= {done: done in delays, at: exposed_at + delays[done] if done in delays else None}
    row |= {"labelled_through": midnight(exposed_at.date() + timedelta(days=1)), "matures_at": exposed_at + timedelta(days=8)}
    return {**row, "cat_id": category, "day": exposed_at.date()}


def frame(rows: list[dict[str, Any]]) -> pl.LazyFrame:
    """Make samples of complete rows."""
    return pl.LazyFrame(rows, schema=SCHEMA)


def draw(seed: int, count: int, *, days: int = 40, back: int = 35) -> list[dict[str, Any]]:
    """Draw samples of `days` days from `back` days before DAY, with ties of click times and outcomes after their day's end."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        exposed_at = midnight(DAY - timedelta(days=back)) + timedelta(days=chance.randrange(days), hours=chance.choice([0, 1, 12, 23]))
        delays = {}
        if chance.random() < 0.5:
            delays["clicked"] = timedelta(minutes=chance.choice([0, 30, 60]), microseconds=chance.choice([0, 0, 1, 999_999]))
            for done in ("acted", "converted"):
                if chance.random() < 0.5:
                    delays[done] = delays["clicked"] + timedelta(hours=chance.choice([0, 1, 30]))
        user, item, category = chance.choice(["u", "v", "w", None]), chance.choice("ijkl"), chance.choice([1, 2, None])
        rows.append(sample(f"{number:04}", exposed_at, user, item, category, **delays))
    return rows


def serialise(found: pl.LazyFrame) -> bytes:
    """Return a frame's values as an Arrow file (rebuilt first, for a null may lie over any bytes)."""
    collected = found.collect(engine="streaming")
    return pl.DataFrame(collected.rows(), schema=collected.schema, orient="row").write_ipc(None).getvalue()
