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
SHARED = {
    ("ingest", "label_outcomes"),
    ("label_outcomes", "label_files"),
    ("label_files", "label"),
    ("validate", "relabel_outcomes"),
    ("relabel_outcomes", "relabel_files"),
    ("relabel_files", "relabel"),
    ("relabel", "aggregate_users"),
    ("aggregate_users", "aggregate"),
}
NOT_SHARED = {("ingest", "label"), ("validate", "relabel"), ("relabel", "aggregate")}
READ_DAG = """
import json, sys, time
import airflow.sdk
from airflow.sdk import CronDataIntervalTimetable, ExceptionRetryPolicy, Param, RetryAction, RetryRule, dag, task
before = set(sys.modules)
started = time.process_time()
sys.path.insert(0, sys.argv[1])
import esmm_daily
seconds = time.process_time() - started
never = {"polars", "torch", "httpx", "kubernetes", "feast", "mlflow", "great_expectations", "kfp", "pandas", "pyarrow"}
heavy = never & (set(sys.modules) - before)
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
        "operator": task.task_type,
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
    return read_dag(tmp_path_factory.mktemp("airflow"))


@pytest.fixture(scope="module")
def shared_dag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return read_dag(tmp_path_factory.mktemp("airflow"), ESMM_WORK__BUCKETS="4")


def read_dag(home: Path, **given: str) -> dict[str, Any]:
    own = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", **given}
    run = subprocess.run(
        [sys.executable, "-c", READ_DAG, str(REPOSITORY / "dags")],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def edges(dag: dict[str, Any]) -> set[tuple[str, str]]:
    return {(name, after) for name, task in dag["tasks"].items() for after in task["downstream"]}


def test_the_dag_has_the_nine_steps_behind_a_sensor_and_their_edges(dag: dict[str, Any]) -> None:
    assert edges(dag) == SENSOR | STEPS


def test_with_buckets_mapped_tasks_do_the_shares_of_label_relabel_and_aggregate(shared_dag: dict[str, Any]) -> None:
    assert edges(shared_dag) == SENSOR | (STEPS - NOT_SHARED) | SHARED
    mapped = {name for name, task in shared_dag["tasks"].items() if task["mapped"]}
    assert mapped == {"ingest", "label_outcomes", "label_files", "relabel_outcomes", "relabel_files", "aggregate_users"}
    users = shared_dag["tasks"]["aggregate_users"]
    assert users["depends_on_past"]
    assert users["wait_for_downstream"]  # on yesterday's `aggregate`, whose features they roll


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


def test_training_on_kubeflow_stands_where_training_stands_and_costs_no_more_to_import(dag: dict[str, Any], tmp_path: Path) -> None:
    remote = read_dag(tmp_path, ESMM_TRAIN__WHERE="kubeflow")
    expected = {**dag["tasks"], "train": {**dag["tasks"]["train"], "operator": "TrainJobOperator"}}
    assert remote["tasks"] == expected != dag["tasks"]
    assert remote["heavy"] == []
    assert remote["seconds"] < 1.0


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
    pipeline = compile_pipeline(tmp_path, buckets=1)
    tasks = pipeline["root"]["dag"]["tasks"]
    assert depends(tasks) == STEPS
    assert set(tasks) == set(dag["tasks"]) - {"arrived"}
    assert not any(task.get("cachingOptions", {}).get("enableCache") for task in tasks.values())


def test_kubeflow_does_the_shares_in_parallel_loops(tmp_path: Path) -> None:
    pipeline = compile_pipeline(tmp_path, buckets=4)
    tasks = pipeline["root"]["dag"]["tasks"]
    of_airflow = {
        "attribute-label-shares": "label_outcomes",
        "lay-label-shares": "label_files",
        "attribute-relabel-shares": "relabel_outcomes",
        "lay-relabel-shares": "relabel_files",
        "prepare-shares": "aggregate_users",
    }
    named = {(of_airflow.get(before, before), of_airflow.get(name, name)) for before, name in depends(tasks)}
    assert named == (STEPS - NOT_SHARED) | SHARED
    for name in of_airflow:
        (loop,) = pipeline["components"][tasks[name]["componentRef"]["name"]]["dag"]["tasks"].values()
        assert loop["parameterIterator"]["items"]["raw"] == "[0, 1, 2, 3]"


def compile_pipeline(folder: Path, *, buckets: int) -> dict[str, Any]:
    import yaml

    package, own = folder / "esmm.yaml", {**os.environ, "ESMM_WORK__BUCKETS": str(buckets)}
    compile_ = [sys.executable, "-m", "components.kubeflow.pipeline", str(package)]
    subprocess.run(compile_, check=True, timeout=120, cwd=REPOSITORY, env=own)
    pipeline: dict[str, Any] = next(iter(yaml.safe_load_all(package.read_text())))
    return pipeline


def depends(tasks: dict[str, Any]) -> set[tuple[str, str]]:
    return {(before, name) for name, task in tasks.items() for before in task.get("dependentTasks", [])}
