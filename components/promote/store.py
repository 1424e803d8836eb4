"""The registry's entries in MLflow: a registered model with tagged versions and aliases, and an experiment with a run per evaluation.

Only reads and single writes; the rules, and the lock that makes them safe, are the registry's.
"""

import os
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from components.errors import RegistryError
from components.promote.versions import Model

NAME = "esmm"
"""Of the registered model and of the experiment."""
_ARTIFACTS = "mlflow-artifacts:/"
"""Of whatever server shows the runs; nothing is written there, and no machine's path is recorded."""
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}
"""Read when MLflow is imported."""


class Store:
    """MLflow in one SQL database. Opening it creates the tables that are missing, which only one process at a time may do."""

    def __init__(self, tracking_uri: str) -> None:
        """Open the database, a SQLAlchemy URL."""
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        SqlAlchemyStore(tracking_uri, _ARTIFACTS)  # the first opening also makes MLflow's default experiment; not under ./mlruns
        self._client = MlflowClient(tracking_uri, tracking_uri)
        if not self._client.search_registered_models(f"name = '{NAME}'", max_results=1):
            self._client.create_registered_model(NAME)

    def models(self, condition: str = "") -> list[Model]:
        """Return the versions that meet a condition of MLflow's search (all of them without one), in no promised order."""
        query = f"name = '{NAME}'" + (f" and {condition}" if condition else "")
        page = self._client.search_model_versions(query)
        found = list(page)
        while page.token:
            page = self._client.search_model_versions(query, page_token=page.token)
            found.extend(page)
        pointed = self._aliases()  # MLflow's search leaves them out
        return [
            _model(entry, [alias for alias, number in pointed.items() if number == int(entry.version)])
            for entry in found
            if _is_ours(entry)
        ]

    def find(self, version: str) -> Model | None:
        """Return a version by our own name for it."""
        found = self.models(f"tags.version = '{version}'")
        return found[0] if found else None

    def with_alias(self, alias: str) -> Model | None:
        """Return the version that an alias points to."""
        number = self._aliases().get(alias)
        if number is None:
            return None
        entry = self._client.get_model_version(NAME, str(number))
        if not _is_ours(entry):
            raise RegistryError(
                f"registry: expected alias {alias} on a version that promote entered, found it on MLflow's version {number}, made by hand; "
                f"move the alias back in MLflow (`esmm models` lists ours)"
            )
        return _model(entry, entry.aliases)

    def enter(self, source: Path, tags: Mapping[str, Any]) -> Model:
        """Add a version whose files are in `source`."""
        return _model(self._client.create_model_version(NAME, str(source), tags=_texts(tags), await_creation_for=0), ())

    def tag(self, model: Model, **tags: Any) -> None:
        """Set tags of a version."""
        for name, value in _texts(tags).items():
            self._client.set_model_version_tag(NAME, str(model.number), name, value)

    def point(self, alias: str, model: Model) -> None:
        """Let an alias point to a version."""
        self._client.set_registered_model_alias(NAME, alias, str(model.number))

    def log(self, model: Model, metrics: Mapping[str, float]) -> None:
        """Keep metrics in the run of a version, made on first use; what has not changed is not written again."""
        from mlflow.entities import Metric, Param

        run, now_ms = self._run(model), time.time_ns() // 1_000_000
        changed = [Metric(name, value, now_ms, 0) for name, value in sorted(metrics.items()) if run.data.metrics.get(name) != value]
        params = [Param(name, model.tags.get(name, "")) for name in ("version", "day", "parent", "settings")]
        self._client.log_batch(run.info.run_id, metrics=changed, params=params)
        if run.info.status != "FINISHED":
            self._client.set_terminated(run.info.run_id)

    def _aliases(self) -> dict[str, int]:
        return {alias: int(number) for alias, number in self._client.get_registered_model(NAME).aliases.items()}

    def _run(self, model: Model) -> Any:
        tags = {"version": model.version, "day": str(model.day)}
        known = self._client.get_experiment_by_name(NAME)
        experiment = known.experiment_id if known else self._client.create_experiment(NAME, artifact_location=f"{_ARTIFACTS}{NAME}")
        query = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
        runs = self._client.search_runs([experiment], query, max_results=1)
        return runs[0] if runs else self._client.create_run(experiment, tags=tags, run_name=model.version)


def _texts(tags: Mapping[str, Any]) -> dict[str, str]:
    """Return tag values as MLflow keeps them; None is empty, True is `true`."""
    return {name: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value) for name, value in tags.items()}


def _is_ours(entry: Any) -> bool:
    """Whether `enter` made this version; one made by hand in MLflow lacks our tags."""
    return {"version", "day"} <= dict(entry.tags).keys()


def _model(entry: Any, aliases: Iterable[str]) -> Model:
    """Read a version from MLflow's entity."""
    tags = dict(entry.tags)
    return Model(
        version=tags["version"],
        day=date.fromisoformat(tags["day"]),
        parent=tags.get("parent", ""),
        verdict=tags.get("verdict", ""),
        reason=tags.get("reason", ""),
        aliases=tuple(sorted(aliases)),
        created_at=datetime.fromtimestamp(entry.creation_timestamp / 1000, tz=UTC),
        promoted=tags.get("promoted") == "true",
        rolled_back=tags.get("rolled_back", ""),
        superseded_by=tags.get("superseded_by", ""),
        tags=tags,
        number=int(entry.version),
    )
