"""Small literal logs for the label tests: times in seconds from the start of the day, everything else by name."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from components.tables import INSTANT

DAY = date(2024, 5, 1)
START = datetime(2024, 5, 1, tzinfo=UTC)
END = datetime(2024, 5, 2, tzinfo=UTC)
_KEYED = {"impression_id": pl.String, "user_id": pl.String, "item_id": pl.String}
SCHEMAS: dict[str, dict[str, Any]] = {
    "impressions": {**_KEYED, "exposed_at": INSTANT, "position": pl.Int32, "scene": pl.String, "arrived_on": pl.Date},
    "clicks": {"click_id": pl.String, **_KEYED, "clicked_at": INSTANT, "arrived_on": pl.Date},
    "actions": {"action_id": pl.String, **_KEYED, "acted_at": INSTANT, "arrived_on": pl.Date},
    "purchases": {"order_id": pl.String, **_KEYED, "purchased_at": INSTANT, "amount": pl.Float64, "arrived_on": pl.Date},
}


def at(seconds: float) -> datetime:
    """Return the instant this long after the start of the day."""
    return START + timedelta(seconds=seconds)


def frame(kind: str, rows: Sequence[Sequence[Any] | dict[str, Any]]) -> pl.LazyFrame:
    """Make a log of rows that are complete and in the schema's order."""
    return pl.LazyFrame(rows, schema=SCHEMAS[kind], orient=None if rows and isinstance(rows[0], dict) else "row")


def impression(name: str, exposed: float, user: str | None = "u", item: str = "i", arrived: date = DAY) -> tuple[Any, ...]:
    """Return a row of `impressions`."""
    return (name, user, item, at(exposed), 1, "home", arrived)


def event(
    name: str | None, when: float, of: str | None = None, user: str | None = "u", item: str = "i", arrived: date = DAY
) -> tuple[Any, ...]:
    """Return a row of `clicks` or `actions`; `of` is the impression it names."""
    return (name, of, user, item, at(when), arrived)


def purchase(
    name: str, when: float, of: str | None = None, user: str | None = "u", item: str = "i", arrived: date = DAY
) -> tuple[Any, ...]:
    """Return a row of `purchases`."""
    return (name, of, user, item, at(when), 9.5, arrived)
