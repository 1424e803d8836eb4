"""Typed, frozen configuration.

Values, weakest first: the defaults here, the profile's `[settings]`, one TOML file, the environment (`ESMM_<SECTION>__<KEY>`).
Relative paths are relative to the working directory.
"""

import hashlib
import json
import os
import tomllib
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariableError

from components.errors import SettingsError
from components.kubeflow_settings import Kubeflow
from components.model_settings import Model, Train
from components.profile import Profile, explain, load_profile
from components.section import Section
from components.validation_settings import Band, Validation

Window = Annotated[timedelta, Field(ge=timedelta(0))]
Port = Annotated[int, Field(ge=0, le=65535)]


class Data(Section):
    """Where the logs come from. Empty: `<home>/raw` and the `profile.toml` in it."""

    raw: str = ""
    """The landing zone: `<raw>/<kind>/day=YYYY-MM-DD/*`."""
    profile: str = ""
    """The data set's profile (TOML)."""


class LakeSettings(Section):
    """Where the tables are kept."""

    uri: str = ""
    """A directory or an `s3://` URI; `<home>/lake` when empty. S3 credentials come from the AWS_* environment."""
    file_rows: int = Field(default=4_000_000, ge=1)
    """Rows of one data file at most, and so of what a step sorts at once."""
    keep: timedelta = Field(default=timedelta(days=30), ge=timedelta(0))
    """How long `esmm vacuum` keeps files that newer versions have replaced: what a rerun of an older day reads. Longer than any step
    runs: a file being written is known by its age alone."""


class Work(Section):
    """How many processes share a step."""

    buckets: int = Field(default=1, ge=1, le=4096)
    """Buckets of users that label, relabel and aggregate are shared by, as mapped tasks; 1: each step in one process. The tables' bytes
    are the same for any number. Read where a DAG is parsed and a pipeline compiled."""
    rank_timeout: timedelta = Field(default=timedelta(minutes=10), gt=timedelta(0))
    """How long a rank of `esmm train` under torchrun waits for the others, who may be reading, before it gives up."""


class Database(Section):
    """The PostgreSQL server of Airflow, MLflow and the Feast registry."""

    url: SecretStr = SecretStr("")
    """`postgresql://user:password@host:port`, with no database name; the embedded server when empty."""


class Ingest(Section):
    """Reading raw logs."""

    chunk_rows: int = Field(default=500_000, ge=1)
    """Rows held at once while a raw file is read."""
    deadline: timedelta = Field(default=timedelta(hours=12), ge=timedelta(0))
    """How long after a day's end its logs are waited for."""


class Labels(Section):
    """How long a click and a conversion may follow."""

    click_window: Window = timedelta(days=1)
    """A click this long after its exposure, or sooner, is credited to it."""
    conversion_window: Window = timedelta(days=7)
    """A purchase this long after its click, or sooner, is credited to it."""


class Aggregate(Section):
    """User and item features."""

    list_length: int = Field(default=50, ge=1)
    """Entries kept of each of a user's lists: what was clicked, acted on, bought, and all of these."""
    prior_impressions: float = Field(default=100.0, gt=0)
    """Strength, in impressions, of the overall click rate in a smoothed click rate."""
    prior_clicks: float = Field(default=20.0, gt=0)
    """Strength, in clicks, of the overall conversion rate in a smoothed conversion rate."""


class Evaluation(Section):
    """The holdout and its metrics."""

    holdout: timedelta = Field(default=timedelta(hours=6), gt=timedelta(0), lt=timedelta(days=1))
    """The last hours of a day: scored before they are trained on."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    min_positives: int = Field(default=10, ge=2)
    """Positives, and negatives, below which an AUC is undefined."""


class Gate(Section):
    """When a challenger may become the champion."""

    cvr_auc_margin: float = 0.01
    """The challenger's masked CVR AUC may be this much lower, no more, at the evaluation's confidence."""
    ctcvr_auc_margin: float = 0.01
    min_positives: int = Field(default=100, ge=2)
    """Conversions in the holdout below which the verdict is `insufficient`."""
    pcoc_band: Band = (0.5, 2.0)
    """Sum of predictions over sum of outcomes, for pCTR and pCTCVR."""


class Ranking(Section):
    """How `esmm score` ranks a user's candidates: by pctr^alpha pcvr^beta price^gamma. No model is trained with these."""

    alpha: FiniteFloat = 1.0
    beta: FiniteFloat = 1.0
    gamma: FiniteFloat = 0.0
    """Above 0 the profile needs a price; 1 ranks by expected revenue."""


class Publish(Section):
    """Online features."""

    online_store: Literal["sqlite", "redis", "postgres"] = "sqlite"
    online_url: SecretStr = SecretStr("")
    """Connection string of the redis or postgres online store."""
    registry_url: SecretStr = SecretStr("")
    """SQLAlchemy URL of the Feast registry; database `feast` of the pipeline's PostgreSQL server when empty."""
    write_rows: int = Field(default=10_000, ge=1)
    """Rows written to the online store at once."""


class Services(Section):
    """The processes that `esmm up` starts. All bind `host`."""

    host: str = "127.0.0.1"
    airflow_port: Port = 8080
    mlflow_port: Port = 5000
    lookup_port: Port = 6566
    airflow_parallelism: int = 4
    schedule: bool = False
    """Let Airflow start each day after its end, and yesterday's at once. Off, it runs backfills and manual runs only."""
    max_lookup_keys: int = 1000


class Settings(BaseSettings):
    """Everything a step may ask."""

    model_config = SettingsConfigDict(
        env_prefix="ESMM_", env_nested_delimiter="__", frozen=True, extra="forbid", use_attribute_docstrings=True
    )
    home: Path = Path(".esmm")
    """Where everything is kept (`ESMM_HOME`)."""
    data: Data = Data()
    lake: LakeSettings = LakeSettings()
    work: Work = Work()
    database: Database = Database()
    ingest: Ingest = Ingest()
    labels: Labels = Labels()
    aggregate: Aggregate = Aggregate()
    validation: Validation = Validation()
    model: Model = Model()
    train: Train = Train()
    evaluation: Evaluation = Evaluation()
    gate: Gate = Gate()
    ranking: Ranking = Ranking()
    publish: Publish = Publish()
    services: Services = Services()
    kubeflow: Kubeflow = Kubeflow()

    @classmethod
    def settings_customise_sources(  # the signature is pydantic-settings'
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment override the files."""
        return env_settings, init_settings

    @cached_property
    def root(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().absolute()

    @cached_property
    def raw(self) -> Path:
        """The landing zone, absolute."""
        return Path(self.data.raw).expanduser().absolute() if self.data.raw else self.root / "raw"

    @cached_property
    def profile_path(self) -> Path:
        """The profile's file, absolute."""
        return Path(self.data.profile).expanduser().absolute() if self.data.profile else self.raw / "profile.toml"

    @cached_property
    def profile(self) -> Profile:
        """The data set's profile."""
        return load_profile(self.profile_path)

    @cached_property
    def lake_uri(self) -> str:
        """Where the tables are kept."""
        return self.lake.uri or str(self.root / "lake")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over what decides a checkpoint's bytes besides its rows: profile, labels, features, model, training."""
        parts = {name: getattr(self, name).model_dump(mode="json") for name in ("labels", "aggregate", "model", "train")}
        parts["fields"] = [field.model_dump(mode="json") for field in self.profile.fields]
        parts["holdout"] = self.evaluation.holdout.total_seconds()
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings file (`path`, else ESMM_SETTINGS, else none) under the environment and over the profile.

    Raises SettingsError naming the file or variable, the key and what was wrong with it.
    """
    chosen = path or (Path(os.environ["ESMM_SETTINGS"]) if os.environ.get("ESMM_SETTINGS") else None)
    _refuse_unknown_variables()
    if path:
        os.environ["ESMM_SETTINGS"] = str(path.absolute())  # so that the processes we start read the same file
    settings = _build(_read(chosen) if chosen else {}, chosen)
    if not settings.profile_path.exists() and not settings.data.profile:
        return settings
    return _build(_merge(settings.profile.settings, _read(chosen) if chosen else {}), chosen)


def altered(settings: Settings, **sections: Any) -> Settings:
    """Return the settings with other sections; the environment, which they have read already, has no say in those."""
    return Settings.model_construct(**{**{name: getattr(settings, name) for name in Settings.model_fields}, **sections})


def with_ranking(settings: Settings, weights: dict[str, float]) -> Settings:
    """Return the settings with other weights of `ranking`; raises SettingsError for one that is not finite."""
    try:
        ranking = Ranking.model_validate({**settings.ranking.model_dump(), **weights})
    except ValidationError as error:
        raise SettingsError(f"ranking: {explain(error)}") from None
    return altered(settings, ranking=ranking)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"settings {path}: no such file; give one with --settings or ESMM_SETTINGS") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"settings {path}: expected a TOML file, found {error}") from None


def _build(values: dict[str, Any], path: Path | None) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        sections = tuple(f"ESMM_{part['loc'][0]}__".upper() for part in error.errors())
        places = [
            "the profile's [settings]",
            *([str(path)] if path else []),
            *sorted(name for name in os.environ if name.startswith(sections)),
        ]
        raise SettingsError(f"settings: {explain(error)}; look in {', '.join(places)}") from None
    except UnreadableVariableError as error:
        raise SettingsError(f"settings: {error}; a list is written as JSON, such as ESMM_MODEL__HIDDEN=[200,80]") from None


def _merge(weak: dict[str, Any], strong: dict[str, Any]) -> dict[str, Any]:
    merged = dict(weak)
    for key, value in strong.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _refuse_unknown_variables() -> None:
    known = {"ESMM_HOME", "ESMM_SETTINGS", "ESMM_LOOKUP_TOKEN"}
    for name in sorted(os.environ):
        if not name.startswith("ESMM_") or name in known:
            continue
        section = name.removeprefix("ESMM_").split("__")[0].lower()
        if section not in Settings.model_fields or "__" not in name:
            raise SettingsError(f"environment variable {name}: no such setting; sections are {', '.join(list(Settings.model_fields)[1:])}")
