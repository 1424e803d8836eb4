"""A home with a Feast registry on SQLite, and small literal snapshots of features."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
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
    values: list[dict[str, Any]] = [
        {
            table.key[0]: key,
            "event_timestamp": datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1),
            **{f"{entity}_{what}_count_{window}": n for what in ("impression", "click", "action", "conversion") for window in ("1d", "7d")},
            **{f"{entity}_{what}_rate_7d": n / 10 for what in ("click", "conversion")},
            **{f"{entity}_{what}_age_s_30d": n if n % 2 else None for what in ("impression", "click")},
            **({f"user_click_{what}_30d": [f"{what}-{i}" for i in range(n)] for what in ("items", "categories")} if entity == "user" else {}),
            "day": day,
        }
        for key, n in rows.items()
    ]
    return pl.LazyFrame(values, schema={**table.columns(None), "day": pl.Date})  # type: ignore[arg-type]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, publish={"registry_url": f"sqlite:///{tmp_path}/registry.db", "write_rows": 2})  # type: ignore[arg-type]


Publish = Callable[..., Published]


@pytest.fixture
def publish(settings: Settings) -> Publish:
    def run(day: date, users: Rows, items: Rows | None = None) -> Published:
        return publish_day(day, snapshot(USER_FEATURES, day, users), snapshot(ITEM_FEATURES, day, items or {}), settings=settings)

    return run
