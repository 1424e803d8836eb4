"""Opening the Feast feature store, and registering the declarations of `features/` in it when they changed."""

import hashlib
import runpy
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.publish.views import offline_folder, online_folder, views_of
from components.records import write_text
from components.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore

PROJECT = "esmm"
DECLARATIONS = Path(__file__).parents[2] / "features" / "activity.py"
_REGISTRY_CACHE_S = 60


def open_store(settings: Settings) -> "FeatureStore":
    """Connect to the registry; the online store is connected to by the first read or write. Imports Feast (seconds)."""
    from feast import FeatureStore, RepoConfig
    from sqlalchemy import NullPool

    unpooled = {"poolclass": NullPool}  # Feast never closes a pool's connections; the registry is read from its cache all the same
    registry = {
        "registry_type": "sql",
        "path": registry_url(settings),
        "cache_ttl_seconds": _REGISTRY_CACHE_S,
        "sqlalchemy_config_kwargs": unpooled,
    }
    return FeatureStore(
        config=RepoConfig(
            project=PROJECT,
            provider="local",
            registry=registry,
            online_store=online_config(settings),
            offline_store={"type": "dask"},
            entity_key_serialization_version=3,
        )
    )


def registry_url(settings: Settings) -> str:
    """Return the SQLAlchemy URL of the Feast registry: the configured one, else database `feast` of the pipeline's server."""
    if chosen := settings.publish.registry_url.get_secret_value():
        return chosen
    from components.database import database_url

    return database_url(settings, "feast").replace("postgresql://", "postgresql+psycopg://", 1)  # Feast does so too, with a warning


def online_config(settings: Settings) -> dict[str, Any]:
    """Return Feast's configuration of the online store."""
    from sqlalchemy import make_url

    kind, url = settings.publish.online_store, settings.publish.online_url.get_secret_value()
    if kind == "sqlite":
        return {"type": "sqlite", "path": str(online_folder(settings.root) / "online.db")}
    if kind == "redis":
        return {"type": "redis", "connection_string": url}
    parts = make_url(url)
    login = {"user": parts.username, "password": parts.password}
    place = {"host": parts.host, "port": parts.port or 5432, "database": parts.database}
    return {"type": "postgres", **place, **login, "sslmode": parts.query.get("sslmode", "prefer")}


def declarations(settings: Settings) -> list[Any]:
    """Return the Feast objects that `features/` declares and the data set has, their sources under the home; new objects at every call."""
    from feast import FeatureService, FeatureView

    names = runpy.run_path(str(DECLARATIONS))
    views, entities = [], dict[str, Any]()
    for view in views_of(settings.profile):
        whole, columns = names[view.name], view.table.columns(settings.profile)
        whole.batch_source.file_options.uri = str(offline_folder(settings.root) / view.name)
        mine = {name: names[name] for name in whole.entities}
        fields = [field for field in whole.schema if field.name in columns]
        about = {"ttl": whole.ttl, "source": whole.batch_source, "description": whole.description}
        views.append(FeatureView(name=view.name, entities=list(mine.values()), schema=fields, **about))
        entities |= mine
    ranking = names["ranking"]
    ranked = [view for view in views if view.name in {projection.name for projection in ranking.feature_view_projections}]
    return [*entities.values(), *views, FeatureService(name=ranking.name, features=ranked, description=ranking.description)]


def register(store: "FeatureStore", settings: Settings) -> bool:
    """Apply the declarations when the registry lacks them or they changed; return whether that was needed.

    The stamp is written last and beside the online store: a lost store or a killed apply is applied again.
    """
    declared = declarations(settings)
    stamp = online_folder(settings.root) / "declarations.sha256"
    columns = {view.name: list(view.table.columns(settings.profile)) for view in views_of(settings.profile)}
    parts = [DECLARATIONS.read_bytes(), str(settings.root).encode(), settings.publish.online_store.encode(), repr(columns).encode()]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    applied = {found.name for found in (*store.list_entities(), *store.list_feature_views(), *store.list_feature_services())}
    unchanged = stamp.exists() and stamp.read_text(encoding="utf-8").strip() == digest
    if unchanged and applied.issuperset(found.name for found in declared):
        return False
    store.apply(declared)
    _let_readers_in(settings)
    write_text(stamp, digest + "\n")
    return True


def _let_readers_in(settings: Settings) -> None:
    """Put the embedded store in write-ahead mode, which the file keeps: without it a large write locks readers out for seconds."""
    if settings.publish.online_store == "sqlite":
        with closing(sqlite3.connect(online_config(settings)["path"])) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
