"""A backfill of `esmm_daily` in one process, without scheduler or api-server: real dependency evaluation, real tasks.

Usage: python backfill_in_process.py FIRST LAST. Prints, as JSON, the (round, day, task, state) of every task instance: in each round, every
task that Airflow calls schedulable is run, in no order of ours. Uses Airflow's private API (3.3), so it lives with the tests.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DAGS = str(Path(__file__).parents[2] / "dags")
MAX_ROUNDS = 40


def prepare() -> Any:
    """Make a database with the DAG and its pools in it; returns the bag."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.models.pool import Pool
    from airflow.utils.db import initdb

    initdb()
    DagBundlesManager().sync_bundles_to_db()
    bag = BundleDagBag(dag_folder=DAGS, bundle_path=Path(DAGS), bundle_name="dags-folder")
    sync_bag_to_db(bag, "dags-folder", None)
    for pool in ("trainer", "publish"):
        Pool.create_or_update_pool(pool, slots=1, description="", include_deferred=False)
    return bag


def main(first: str, last: str) -> None:
    """Create the backfill and run it to its end."""
    from airflow.models.backfill import ReprocessBehavior, _create_backfill

    bag = prepare()
    dates = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (first, last)]
    _create_backfill(
        dag_id="esmm_daily",
        from_date=dates[0],
        to_date=dates[1],
        max_active_runs=4,
        reverse=False,
        dag_run_conf=None,
        triggering_user_name="test",
        reprocess_behavior=ReprocessBehavior.FAILED,
    )
    print(json.dumps(run_rounds(bag.dags["esmm_daily"])))  # noqa: T201


def run_rounds(dag: Any) -> list[tuple[int, str, str, str]]:
    """Run what is schedulable, round by round, over all runs of the backfill."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk.definitions.dag import _run_task
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    scheduler_dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    done: list[tuple[int, str, str, str]] = []
    with create_session() as session:
        for run in session.scalars(select(DagRun)):
            run.state = DagRunState.RUNNING
    for number in range(MAX_ROUNDS):
        ready = schedule(scheduler_dag)
        if not ready:
            break
        for key in ready:
            with create_session() as session:
                instance = session.get(TaskInstance, key)
                day, task = str(instance.logical_date.date()), instance.task_id
                result = _run_task(ti=instance, task=dag.get_task(task))
            done.append((number, day, task, str(result.ti.state.value)))
    return done


def schedule(scheduler_dag: Any) -> list[Any]:
    """Mark what Airflow calls schedulable now as scheduled, in all runs; returns the keys of those task instances."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    with create_session() as session:
        ready = []
        for run in session.scalars(select(DagRun).order_by(DagRun.logical_date)).all():
            run.dag = scheduler_dag
            ready += run.update_state(session=session)[0]
        for instance in ready:
            instance.try_number += 1
            instance.state = TaskInstanceState.SCHEDULED
        return [instance.id for instance in ready]


if __name__ == "__main__":
    main(*sys.argv[1:])
