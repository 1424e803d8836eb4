"""The DAG: its steps, edges, pools and order rules, and what it costs to import."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
SENSOR = {("arrived", "ingest")}
STEPS = {
    ("ingest", "label"),
    ("label", "validate"),
    ("validate", "relabel"),
    ("relabel", "aggregate"),
    ("aggregate", "publish"),
    ("aggregate", "train"),
    ("train", "evaluate"),
    ("evaluate", "promote"),
}
READ_DAG = """
import json, sys, time
import airflow.sdk
from airflow.sdk import CronDataIntervalTimetable, ExceptionRetryPolicy, Param, RetryAction, RetryRule, dag, task
before = set(sys.modules)
started = time.process_time()
sys.path.insert(0, sys.argv[1])
import esmm_daily
seconds = time.process_time() - started
heavy = {"polars", "torch", "feast", "mlflow", "great_expectations", "kfp", "pandas", "pyarrow"} & (set(sys.modules) - before)
from airflow.sdk.definitions.dag import DAG
found = esmm_daily.esmm_daily()
tasks = {
    task.task_id: {
        "downstream": sorted(task.downstream_task_ids),
        "depends_on_past": task.depends_on_past,
        "wait_for_downstream": task.wait_for_downstream,
        "ignore_first": task.ignore_first_depends_on_past,
        "pool": task.pool,
        "retries": task.retries,
        "mapped": task.is_mapped,
    }
    for task in found.tasks
}
arrived = found.get_task("arrived")
sensor = {"reschedule": arrived.reschedule, "poke_interval": arrived.poke_interval}
timetable = type(found.timetable).__name__
runs = {"conf": {"day": "2024-05-02", "ds": "2024-06-01"}, "logical date": {"day": None, "ds": "2024-05-03"}, "neither": {"day": None}}
template = found.get_template_env().from_string(esmm_daily.DAY)
days = {run: template.render(params={"day": given.pop("day")}, **given) for run, given in runs.items()}
try:
    esmm_daily.run_step("label", days["neither"])
except Exception as error:
    refusal = f"{type(error).__name__}: {error}"
print(json.dumps({"seconds": seconds, "heavy": sorted(heavy), "tasks": tasks, "timetable": timetable, "catchup": found.catchup,
    "days": days, "refusal": refusal, "sensor": sensor}))
"""


@pytest.fixture(scope="module")
def dag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    run = subprocess.run(
        [sys.executable, "-c", READ_DAG, str(REPOSITORY / "dags")], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def test_the_dag_has_the_nine_steps_behind_a_sensor_and_their_edges(dag: dict[str, Any]) -> None:
    assert {(name, after) for name, task in dag["tasks"].items() for after in task["downstream"]} == SENSOR | STEPS


def test_the_sensor_takes_no_slot_while_it_waits_and_looks_every_five_minutes(dag: dict[str, Any]) -> None:
    assert dag["sensor"] == {"reschedule": True, "poke_interval": 300.0}


def test_preparation_is_free_and_features_training_and_verdicts_go_in_day_order(dag: dict[str, Any]) -> None:
    waiting = {name for name, task in dag["tasks"].items() if task["depends_on_past"]}
    assert waiting == {"relabel", "aggregate", "train", "evaluate"}
    assert [name for name, task in dag["tasks"].items() if task["wait_for_downstream"]] == ["evaluate"]
    assert all(dag["tasks"][name]["ignore_first"] for name in waiting)


def test_training_and_publishing_have_a_pool_of_their_own(dag: dict[str, Any]) -> None:
    pools = {name: task["pool"] for name, task in dag["tasks"].items() if task["pool"] != "default_pool"}
    assert pools == {"train": "trainer", "publish": "publish"}


def test_validation_is_never_retried_and_ingest_is_mapped(dag: dict[str, Any]) -> None:
    assert dag["tasks"]["validate"]["retries"] == 0
    assert [name for name, task in dag["tasks"].items() if task["mapped"]] == ["ingest"]


def test_the_interval_is_a_day_and_nothing_is_caught_up(dag: dict[str, Any]) -> None:
    assert (dag["timetable"], dag["catchup"]) == ("CronDataIntervalTimetable", False)


def test_a_run_is_keyed_on_its_parameter_then_its_logical_date_and_is_refused_with_neither(dag: dict[str, Any]) -> None:
    assert dag["days"] == {"conf": "2024-05-02", "logical date": "2024-05-03", "neither": ""}
    assert dag["refusal"].startswith("SettingsError: this run names no day; trigger it with --conf")


def test_importing_the_dag_costs_less_than_a_second_and_nothing_heavy(dag: dict[str, Any]) -> None:
    assert dag["heavy"] == []
    assert dag["seconds"] < 1.0


def test_kubeflow_has_the_same_steps_and_edges(tmp_path: Path, dag: dict[str, Any]) -> None:
    package = tmp_path / "esmm.yaml"
    subprocess.run([sys.executable, "-m", "components.kubeflow.pipeline", str(package)], check=True, timeout=120, cwd=REPOSITORY)
    import yaml

    pipeline = next(iter(yaml.safe_load_all(package.read_text())))
    tasks = pipeline["root"]["dag"]["tasks"]
    assert {(before, name) for name, task in tasks.items() for before in task.get("dependentTasks", [])} == STEPS
    assert set(tasks) == set(dag["tasks"]) - {"arrived"}
    assert not any(task.get("cachingOptions", {}).get("enableCache") for task in tasks.values())
