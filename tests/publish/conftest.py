"""A home with a Feast registry on SQLite, and small literal snapshots of features."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from components.publish.online import Published, publish_day
from components.settings import Settings
from components.tables import ITEM_FEATURES, USER_CATEGORY_FEATURES, USER_FEATURES, Table
from tests.aggregate.rows import FULL as PROFILE

Rows = dict[str, int]
"""Key -> the number its features are made of."""


def snapshot(table: Table, day: date, rows: Rows) -> pl.LazyFrame:
    """Features of a day: number n gives counts n, rates and means n / 10, ages null where n is even, a list of n texts or numbers."""

    def value(name: str, dtype: object, key: str, n: int) -> object:
        if name in table.key:
            return key
        if name == "event_timestamp":
            return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        if isinstance(dtype, pl.List):
            return [10**15 + i if dtype.inner == pl.Int64 else f"{name.split('_')[2]}-{i}" for i in range(n)]
        return n / 10 if dtype == pl.Float64 else n if n % 2 or "_age_" not in name else None

    columns = table.columns(PROFILE)
    values = [{name: value(name, dtype, key, n) for name, dtype in columns.items()} | {"day": day} for key, n in rows.items()]
    return pl.LazyFrame(values, schema={**columns, "day": pl.Date})


Publish = Callable[..., Published]


@pytest.fixture(scope="session")
def settle() -> Callable[[Path], Settings]:
    def at(home: Path) -> Settings:
        settings = Settings(home=home, publish={"registry_url": f"sqlite:///{home}/registry.db", "write_rows": 2})
        settings.__dict__["profile"] = PROFILE  # else read from a file
        return settings

    return at


@pytest.fixture(scope="session")
def publish_to() -> Publish:
    def run(settings: Settings, day: date, users: Rows, items: Rows | None = None, pairs: Rows | None = None) -> Published:
        rows = {USER_FEATURES: users, ITEM_FEATURES: items or {}, USER_CATEGORY_FEATURES: pairs or {}}
        return publish_day(day, {table: snapshot(table, day, found) for table, found in rows.items()}, settings=settings)

    return run


@pytest.fixture
def settings(settle: Callable[[Path], Settings], tmp_path: Path) -> Settings:
    return settle(tmp_path)


@pytest.fixture
def publish(publish_to: Publish, settings: Settings) -> Publish:
    return partial(publish_to, settings)
