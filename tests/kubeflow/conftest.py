"""A home with two days ready to train, as records alone, and a cluster that stands in."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from components.kubeflow import launch
from components.records import Records
from components.settings import Settings, load_settings
from tests.chains import day, write_day
from tests.conftest import PLAIN_PROFILE
from tests.kubeflow.stand_in import TOKEN, StandIn, standing_in

PAUSE = 0.001
PROFILE = f"{PLAIN_PROFILE}settings.train.batch_size = 1024\n"


@pytest.fixture
def cluster() -> Iterator[StandIn]:
    with standing_in() as server:
        yield server


@pytest.fixture
def environment(tmp_path: Path, cluster: StandIn, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set and return what names the home and the cluster."""
    (tmp_path / "profile.toml").write_text(PROFILE)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    given = {
        "ESMM_HOME": str(tmp_path / "home"),
        "ESMM_DATA__PROFILE": str(tmp_path / "profile.toml"),
        "ESMM_KUBEFLOW__SERVER": cluster.url,
        "ESMM_KUBEFLOW__TOKEN_FILE": str(tmp_path / "token"),
        "ESMM_SETTINGS": "",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    """Load the settings of a home with two days, the second of which is ready to be trained again."""
    assert environment
    found = load_settings()
    for number in (1, 2):
        write_day(found, number)
    return found


@pytest.fixture
def second() -> date:
    return day(2)


def trained(settings: Settings, when: date) -> bool:
    return Records(settings.root).read(when, "train") is not None


def submit(settings: Settings, when: date) -> str:
    return launch.submit(when, settings, pause=PAUSE)


def watch(name: str, settings: Settings) -> None:
    launch.watch(name, settings, pause=PAUSE)
