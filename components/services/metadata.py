"""What Airflow's metadata database says about a backfill. Read with SQL: the CLI neither waits nor reports, and costs seconds a call."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from components.errors import ServiceError

DONE = frozenset({"success", "skipped"})
LOST = frozenset({"failed", "upstream_failed"})
AT_WORK = frozenset({"running", "queued", "restarting", "up_for_retry", "up_for_reschedule"})
_ABANDON = (
    "UPDATE backfill SET completed_at = now() WHERE dag_id = %(dag)s AND completed_at IS NULL",
    "UPDATE task_instance SET state = 'failed', end_date = now() WHERE dag_id = %(dag)s AND state IN"
    " ('running', 'queued', 'scheduled', 'restarting', 'up_for_retry', 'up_for_reschedule', 'deferred')",
    "UPDATE dag_run SET state = 'failed', end_date = now() WHERE dag_id = %(dag)s AND state IN ('running', 'queued')",
)
_NEWEST = """
SELECT r.logical_date, r.run_id, r.state, t.task_id, t.map_index, t.state, t.try_number, t.start_date, t.end_date
FROM backfill_dag_run b
JOIN dag_run r ON r.id = b.dag_run_id
JOIN task_instance t ON t.dag_id = r.dag_id AND t.run_id = r.run_id
WHERE b.backfill_id = (SELECT max(id) FROM backfill WHERE dag_id = %(dag)s)
ORDER BY b.sort_ordinal, t.task_id, t.map_index
"""


@dataclass(frozen=True)
class TaskState:
    """One task of one day; of a mapped task, one instance."""

    day: date
    run_id: str
    run_state: str
    task: str
    index: int
    """Of a mapped task's instance; -1 for others."""
    state: str
    """Airflow's; empty while it waits for others."""
    attempt: int
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def name(self) -> str:
        """The task, with its index where it is mapped."""
        return self.task if self.index < 0 else f"{self.task}[{self.index}]"


def abandon_unfinished(url: str, dag: str) -> None:
    """Close what an interrupted backfill left open, which would keep a new one from being created. Only while no scheduler runs."""
    with _connection(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('backfill')")
        if cursor.fetchone()[0] is None:
            return  # Airflow has not been here yet
        for statement in _ABANDON:
            cursor.execute(statement, {"dag": dag})


def newest_backfill(url: str, dag: str) -> list[TaskState]:
    """Return every task of the newest backfill of a DAG, by day."""
    with _connection(url) as connection, connection.cursor() as cursor:
        cursor.execute(_NEWEST, {"dag": dag})
        return [_task_state(row) for row in cursor.fetchall()]


def _task_state(row: tuple[Any, ...]) -> TaskState:
    logical, run_id, run_state, task, index, state, attempt, started, ended = row
    return TaskState(logical.astimezone(UTC).date(), run_id, run_state, task, index, state or "", attempt, started, ended)


@contextmanager
def _connection(url: str) -> Iterator[Any]:
    """Connect for one transaction; raises ServiceError where the server has gone."""
    import psycopg2

    try:
        connection = psycopg2.connect(url, connect_timeout=10)
    except psycopg2.OperationalError as error:
        raise ServiceError(f"Airflow's metadata database cannot be reached any more: {str(error).strip()}") from None
    try:
        with connection:
            yield connection
    finally:
        connection.close()
