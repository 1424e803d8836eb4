"""A day of the DAG through Airflow's `dag.test`: `python dag_test_day.py DAY`. Exits 1 unless the run succeeds."""

import sys
from datetime import UTC, datetime


def main(day: str) -> None:
    """Run the day."""
    from backfill_in_process import prepare

    dag = prepare().dags["esmm_daily"]
    run = dag.test(logical_date=datetime.fromisoformat(day).replace(tzinfo=UTC))
    sys.exit(run.state != "success")


if __name__ == "__main__":
    main(sys.argv[1])
