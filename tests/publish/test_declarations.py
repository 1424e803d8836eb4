"""The Feast repository: its columns are the lake's, its configuration the pipeline's, its offline store the same values."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from components.profile import Profile
from components.publish.store import DECLARATIONS, declarations, online_config, open_store
from components.publish.views import views_of
from components.settings import Settings
from tests.aggregate.rows import BARE, FULL

ONE, TWO = date(2024, 5, 1), date(2024, 5, 2)


@pytest.mark.parametrize("profile", [FULL, BARE], ids=["full", "bare"])
def test_views_have_the_columns_of_the_lake_s_tables(tmp_path: Path, profile: Profile) -> None:
    from feast import FeatureView
    from feast.types import Array, Float64, Int64, String

    names = {Int64: "Int64", Float64: "Float64", Array(String): "List(String)", Array(Int64): "List(Int64)"}
    settings = Settings(home=tmp_path)
    settings.__dict__["profile"] = profile
    declared = {found.name: found for found in declarations(settings)}
    assert {name for name, found in declared.items() if isinstance(found, FeatureView)} == {view.name for view in views_of(profile)}
    for view in views_of(profile):
        columns = {name: str(dtype) for name, dtype in view.table.columns(profile).items()}
        for stamp in (*view.keys, "event_timestamp"):
            columns.pop(stamp)
        assert {field.name: names[field.dtype] for field in declared[view.name].schema if field.name not in view.keys} == columns
        assert view.witness in columns


def test_the_service_has_the_users_and_the_items(settings: Settings) -> None:
    (service,) = (found for found in declarations(settings) if found.name == "ranking")
    assert [projection.name for projection in service.feature_view_projections] == ["user_activity", "item_activity"]


@pytest.mark.filterwarnings("ignore:Downcasting object dtype:FutureWarning")  # Feast's dask joins
def test_offline_features_are_those_of_the_day_before(publish: Callable[..., object], settings: Settings) -> None:
    """Feast leaves out rows whose key has snapshots but none of the day before: hence the join back."""
    publish(ONE, {"ann": 1, "bob": 1}, {"bag": 1})
    publish(TWO, {"ann": 2}, {"bag": 2})
    store = open_store(settings)
    impressions = pd.DataFrame(
        [
            ("first instant of the next day", "ann", "2024-05-02T00:00:00Z", 1, 1),
            ("last instant of the next day", "ann", "2024-05-02T23:59:59.999999Z", 1, 1),
            ("the day after that", "ann", "2024-05-03T00:00:00Z", 2, 2),
            ("the day of the events itself", "ann", "2024-05-01T12:00:00Z", None, None),
            ("a user who left", "bob", "2024-05-03T00:00:00Z", None, None),
        ],
        columns=["case", "user_id", "event_timestamp", "user", "item"],
    ).assign(item_id="bag")
    impressions["event_timestamp"] = pd.to_datetime(impressions["event_timestamp"], format="ISO8601")
    found = store.get_historical_features(entity_df=impressions, features=store.get_feature_service("ranking")).to_df()
    joined = impressions[["case", "user", "item"]].merge(found.drop(columns=["user", "item"]), on="case", how="left", validate="1:1")
    assert joined["user_conversion_count_7d"].astype("Int64").equals(joined["user"].astype("Int64"))
    assert joined["item_click_count_1d"].astype("Int64").equals(joined["item"].astype("Int64"))
    (items,) = joined.loc[joined["case"] == "the day after that", "user_click_items_30d"]
    assert list(items) == ["items-0", "items-1"]


def test_the_yaml_file_opens_the_same_store(
    publish: Callable[..., object], settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from feast import FeatureStore

    publish(ONE, {"ann": 1})
    monkeypatch.setenv("ESMM_HOME", str(settings.root))
    monkeypatch.setenv("ESMM_PUBLISH__REGISTRY_URL", settings.publish.registry_url.get_secret_value())
    shutil.copy(DECLARATIONS.with_name("feature_store.yaml"), tmp_path)
    theirs, ours = FeatureStore(repo_path=str(tmp_path)).config, open_store(settings).config
    unpooled = {"sqlalchemy_config_kwargs"}  # how we connect, not where
    assert theirs.registry.model_dump(exclude=unpooled) == ours.registry.model_dump(exclude=unpooled)
    assert theirs.online_store.model_dump() == ours.online_store.model_dump()
    assert (theirs.project, theirs.provider, theirs.offline_store.type) == (ours.project, ours.provider, ours.offline_store.type)
    found = FeatureStore(repo_path=str(tmp_path)).get_online_features(["user_activity:user_click_count_1d"], {"user_id": ["ann"]})
    assert found.to_dict()["user_click_count_1d"] == [1]


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        ("redis", "cache:6379,db=1", {"type": "redis", "connection_string": "cache:6379,db=1"}),
        (
            "postgres",
            "postgresql://me:pw@db:5433/features?sslmode=require",
            {"type": "postgres", "sslmode": "require", "host": "db", "port": 5433, "database": "features", "user": "me", "password": "pw"},
        ),
    ],
)
def test_other_online_stores_are_configured_by_url(tmp_path: Path, kind: str, url: str, expected: dict[str, object]) -> None:
    settings = Settings(home=tmp_path, publish={"online_store": kind, "online_url": url})
    assert online_config(settings) == expected
