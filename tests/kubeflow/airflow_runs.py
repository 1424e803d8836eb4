"""The DAG's task `train` with Airflow's database under it: `python airflow_runs.py DAY [first]`. Prints the task's state at the end.

`first` makes the database and a run of the day before. Uses Airflow's private API (3.3), so it lives with the tests.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

ORCHESTRATION = str(Path(__file__).parents[1] / "orchestration")


def main(day: str, *, first: bool) -> None:
    sys.path.insert(0, ORCHESTRATION)
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk.definitions.dag import _run_task
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from backfill_in_process import DAGS, prepare
    from sqlalchemy import select

    from components.kubeflow.operator import TrainJobOperator

    TrainJobOperator.poll_interval = timedelta(milliseconds=50)
    bag = prepare() if first else DagBag(dag_folder=DAGS)
    if first:
        begin(datetime.fromisoformat(day).replace(tzinfo=UTC))
    with create_session() as session:
        instance = session.scalars(select(TaskInstance).where(TaskInstance.task_id == "train")).one()
        instance.try_number += 1
        instance.max_tries = instance.try_number + 2  # as after being cleared
        instance.state = TaskInstanceState.SCHEDULED
        session.commit()
        result = _run_task(ti=instance, task=bag.dags["esmm_daily"].get_task("train"))
        sys.stdout.write(f"\n{result and result.ti.state.value}\n")


def begin(day: datetime) -> None:
    """Make a run of a day."""
    from airflow.models.backfill import ReprocessBehavior, _create_backfill

    _create_backfill(
        dag_id="esmm_daily",
        from_date=day,
        to_date=day,
        max_active_runs=1,
        reverse=False,
        dag_run_conf=None,
        triggering_user_name="test",
        reprocess_behavior=ReprocessBehavior.FAILED,
    )


if __name__ == "__main__":
    main(sys.argv[1], first=sys.argv[2:] == ["first"])
