"""A home with a Feast registry on SQLite, and small literal snapshots of features."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.publish.online import Published, publish_day
from components.settings import Settings
from components.tables import ITEM_FEATURES, USER_FEATURES, Table

Rows = dict[str, int]
"""Key -> the number its features are made of."""


def snapshot(table: Table, day: date, rows: Rows) -> pl.LazyFrame:
    """Features of a day: number n gives counts n, rates n / 10, ages null where n is even, a list of n ids."""
    entity = table.name.removesuffix("_features")
    lists = {f"user_click_{what}_30d": what for what in ("items", "categories")} if table is USER_FEATURES else {}
    values: list[dict[str, Any]] = [
        {
            table.key[0]: key,
            "event_timestamp": datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1),
            **{f"{entity}_{what}_count_{window}": n for what in ("impression", "click", "action", "conversion") for window in ("1d", "7d")},
            **{f"{entity}_{what}_rate_7d": n / 10 for what in ("click", "conversion")},
            **{f"{entity}_{what}_age_s_30d": n if n % 2 else None for what in ("impression", "click")},
            **{name: [f"{what}-{i}" for i in range(n)] for name, what in lists.items()},
            "day": day,
        }
        for key, n in rows.items()
    ]
    return pl.LazyFrame(values, schema={**table.columns(None), "day": pl.Date})  # type: ignore[arg-type]


Publish = Callable[..., Published]


@pytest.fixture(scope="session")
def settle() -> Callable[[Path], Settings]:
    def at(home: Path) -> Settings:
        return Settings(home=home, publish={"registry_url": f"sqlite:///{home}/registry.db", "write_rows": 2})

    return at


@pytest.fixture(scope="session")
def publish_to() -> Publish:
    def run(settings: Settings, day: date, users: Rows, items: Rows | None = None) -> Published:
        return publish_day(day, snapshot(USER_FEATURES, day, users), snapshot(ITEM_FEATURES, day, items or {}), settings=settings)

    return run


@pytest.fixture
def settings(settle: Callable[[Path], Settings], tmp_path: Path) -> Settings:
    return settle(tmp_path)


@pytest.fixture
def publish(publish_to: Publish, settings: Settings) -> Publish:
    return partial(publish_to, settings)
