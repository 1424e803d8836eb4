"""One key, one value: the lake's tables, the online store, our lookup and Feast's own point-in-time join say the same."""

import math
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from components.publish.lookup import lookup
from components.publish.offline import snapshot_path
from components.publish.online import publish_day
from components.publish.store import open_store
from components.publish.views import PAIRS, View, views_of
from components.settings import Settings
from components.tables import FEATURES
from tests.aggregate.rows import DAY, ONE, World, draw

Row = dict[str, Any]
NOON = pd.Timestamp("2024-05-31T12:00Z")
"""While the snapshot of DAY is served."""
pytestmark = pytest.mark.filterwarnings("ignore:Downcasting object dtype:FutureWarning")  # Feast's dask joins


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, settle: Callable[[Path], Settings]) -> tuple[World, Settings]:
    """Two published days of 800 users, some hundred items and the pairs; the second day's snapshot is online."""
    settings = settle(tmp_path_factory.mktemp("home"))
    shown, outcomes = draw(5, 4000, first=DAY - ONE, days=2, users=800)
    chance = random.Random(6)
    items = {row["impression_id"]: f"i{chance.randrange(600)}" for row in shown}
    more_items = [[{**row, "item_id": items[row["impression_id"]]} for row in rows] for rows in (shown, outcomes)]
    world = World(settings.root, more_items[0], more_items[1])
    world.settings.__dict__["profile"] = settings.profile
    roomy = settings.model_copy(update={"publish": settings.publish.model_copy(update={"write_rows": 1000})})
    roomy.__dict__["profile"] = settings.profile
    for day in (DAY - ONE, DAY):
        world.run(day, day)
        publish_day(day, {table: world.lake.scan(table, day) for table in FEATURES}, settings=roomy)
    return world, roomy


def plain(row: Row) -> Row:
    """Return a row without what only pandas and numpy know: no number is null, arrays are lists."""

    def value(found: object) -> object:
        if hasattr(found, "tolist"):
            found = found.tolist()
        if isinstance(found, float) and math.isnan(found):
            return None
        return list(found) if isinstance(found, (list, tuple)) else found

    return {name: value(found) for name, found in row.items()}


def sampled(world: World, view: View) -> list[Row]:
    """Return rows of the lake, 1000 over all views."""
    size = {"user_activity": 400, "item_activity": 300, "user_category_activity": 300}[view.name]
    rows = world.lake.scan(view.table, DAY).drop("day", "event_timestamp").collect()
    return rows.sample(size, seed=7).sort(view.keys).to_dicts()


@pytest.mark.parametrize("number", [0, 1, 2], ids=["users", "items", "pairs"])
def test_offline_online_and_historical_values_agree(home: tuple[World, Settings], number: int) -> None:
    world, settings = home
    view = views_of(settings.profile)[number]
    rows = sampled(world, view)
    names = [name for name in rows[0] if name not in view.keys]
    keys = [{key: row[key] for key in view.keys} for row in rows]
    store, references = open_store(settings), [f"{view.name}:{name}" for name in names]

    online = store.get_online_features(references, keys).to_dict()
    assert [plain({name: online[name][place] for name in rows[0]}) for place in range(len(rows))] == rows

    asked = pd.DataFrame(keys).assign(event_timestamp=NOON)
    historical = store.get_historical_features(asked, references).to_df().sort_values(view.keys)
    found = historical[list(rows[0])].astype(object).to_dict("records")
    assert [plain(row) for row in found] == rows

    if view is not PAIRS:
        answers = lookup(view.entity, [key[view.keys[0]] for key in keys], settings)
        assert [{view.keys[0]: answer["key"], **answer["features"]} for answer in answers] == rows


def test_lists_stay_aligned_in_the_online_store(home: tuple[World, Settings]) -> None:
    """An unknown attribute is an empty string, which Feast keeps: it has no null inside a list."""
    world, settings = home
    rows = world.lake.scan(FEATURES[0], DAY).filter(pl.col("user_behaviour_items_30d").list.len() > 2).head(50).collect().to_dicts()
    for answer in lookup("user", [row["user_id"] for row in rows], settings):
        for kind in ("click", "action", "conversion", "behaviour"):
            mine = (found for name, found in answer["features"].items() if name.startswith(f"user_{kind}_"))
            assert len({len(found) for found in mine if isinstance(found, list)}) == 1
    assert any("" in row["user_behaviour_categories_30d"] for row in rows)


def test_of_equal_keys_and_times_feast_keeps_one_row(home: tuple[World, Settings]) -> None:
    """What `features/README.md` warns of, so that we notice when Feast mends it."""
    world, settings = home
    key = world.lake.scan(FEATURES[0], DAY).select("user_id").head(1).collect().item()
    twice = pd.DataFrame({"user_id": [key, key], "event_timestamp": NOON})
    found = open_store(settings).get_historical_features(twice, ["user_activity:user_click_count_7d"]).to_df()
    assert (len(twice), len(found)) == (2, 1)


@pytest.mark.parametrize("number", [0, 1, 2], ids=["users", "items", "pairs"])
def test_rows_are_written_as_feast_itself_writes_them(home: tuple[World, Settings], tmp_path: Path, number: int) -> None:
    """The embedded store's table, byte for byte, after Feast's own conversion and insertion of the same frame."""
    from feast.infra.provider import get_provider

    settings = home[1]
    view = views_of(settings.profile)[number]
    store, theirs = open_store(settings), open_store(Settings(home=tmp_path, publish=settings.publish)).config
    declared = store.get_feature_view(view.name)
    rows = pd.read_parquet(snapshot_path(settings.root, view, DAY), dtype_backend="pyarrow")
    provider = get_provider(theirs)
    provider.update_infra("esmm", [], [declared], [], [], partial=True)
    provider.ingest_df(declared, rows)
    columns = "entity_key, feature_name, value, value_text, event_ts, created_ts"
    query = f"SELECT {columns} FROM esmm_{view.name} ORDER BY entity_key, feature_name"  # noqa: S608 - no input
    ours, feasts = ([*sqlite3.connect(root / "online" / "online.db").execute(query)] for root in (settings.root, tmp_path))
    keys = {row[0] for row in feasts}
    assert len(keys) == len(rows)
    assert [row for row in ours if row[0] in keys] == feasts
