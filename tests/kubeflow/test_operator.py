"""The Airflow operator: a worker that dies, a task that is killed, a task that is cleared; and the DAG that has it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from components.records import Records
from components.settings import Settings
from tests.kubeflow.stand_in import TOKEN, StandIn

REPOSITORY = Path(__file__).parents[2]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, settings: Settings, second: date) -> Start:
    """Return what starts a worker on the second day's task; all share a task state store."""
    assert settings

    def start(how: str) -> "subprocess.Popen[str]":
        command = [sys.executable, str(Path(__file__).parent / "airflow_task.py"), str(second), str(tmp_path / "store.json"), how]
        own = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "airflow"), "PYTHONPATH": str(REPOSITORY)}
        return subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start


def test_a_worker_that_dies_after_submitting_is_succeeded_by_one_that_waits_for_its_job_and_a_cleared_task_trains_again(
    cluster: StandIn, settings: Settings, second: date, start: Start, tmp_path: Path
) -> None:
    def train() -> None:
        Records(settings.root).write(second, "train", {"version": "v"})
        cluster.complete()

    dead = start("die")
    dead.communicate(timeout=60)
    assert (dead.returncode, cluster.made) == (-signal.SIGKILL, 1)
    cluster.at_look(cluster.looks + 3, train)
    cluster.at_look(cluster.looks + 9, train)
    said, _ = start("2").communicate(timeout=60)
    assert said.splitlines()[-1:] == ["ok"], said
    assert said.splitlines().count("ok") == 2
    assert [method for method, _ in cluster.asked if method != "GET"] == ["POST", "DELETE", "POST"]
    assert not (tmp_path / "store.json").exists()
    assert TOKEN not in said


def test_a_task_that_is_killed_deletes_its_job_and_ends(cluster: StandIn, start: Start, tmp_path: Path) -> None:
    worker = start("1")
    cluster.dying = 1
    cluster.at_look(3, lambda: worker.send_signal(signal.SIGTERM))
    said, _ = worker.communicate(timeout=60)
    assert "was deleted before it ended" in said
    assert ("DELETE", json.loads((tmp_path / "store.json").read_text())["trainjob"]) in cluster.asked


@pytest.mark.slow
def test_with_the_database_of_airflow_a_dead_worker_is_succeeded_and_an_error_of_the_data_is_not_retried(
    cluster: StandIn, environment: dict[str, str], settings: Settings, second: date, tmp_path: Path
) -> None:
    airflow = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "ESMM_TRAIN__WHERE": "kubeflow",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "ignore",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ESMM_", "AIRFLOW_"))}

    def run(*how: str, at_look: int, act: Callable[["subprocess.Popen[str]"], object]) -> tuple[int, str]:
        command = [sys.executable, str(Path(__file__).parent / "airflow_runs.py"), str(second), *how]
        given = {**inherited, **environment, **airflow}
        with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            cluster.at_look(cluster.looks + at_look, lambda: act(process))
            said, _ = process.communicate(timeout=200)
        return process.returncode, said

    def train(_: object) -> None:
        Records(settings.root).write(second, "train", {"version": "v"})
        cluster.complete()

    code, said = run("first", at_look=4, act=lambda process: process.kill())
    assert (code, cluster.made) == (-signal.SIGKILL, 1), said
    code, said = run(at_look=4, act=train)
    assert (code, cluster.made) == (0, 1), said
    assert "Reconnecting to existing job" in said
    assert said.splitlines()[-1] == "success", said
    code, said = run(at_look=6, act=lambda _: cluster.fail("MissingParentError: train: expected a checkpoint, found none"))
    assert (code, cluster.made) == (0, 2), said
    assert said.splitlines()[-1] == "failed", said
    assert "MissingParentError: train: expected a checkpoint, found none" in said
    code, said = run(at_look=6, act=lambda _: cluster.fail("", status=137))
    assert said.splitlines()[-1] == "up_for_retry", said
    assert TOKEN not in said
