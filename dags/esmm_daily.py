"""The day as an Airflow DAG: wiring only. Each task names its day and calls the step of that name in `components.steps`.

Keyed on `ds` (or the `day` parameter of a manual run), never on the data interval: only `ds` is the same day in scheduled, backfilled and
manual runs. Airflow's order is an optimisation; each step finds its inputs by day and refuses when they are missing.
"""

# mypy: disable-error-code="untyped-decorator, call-overload"

from datetime import UTC, datetime, timedelta

from airflow.sdk import CronDataIntervalTimetable, ExceptionRetryPolicy, Param, RetryAction, RetryRule, dag, task

from components.profile import KINDS

DAY = "{{ params.day or ds | default('') }}"  # a manual run with neither has no `ds`
ON_BAD_DATA_FAIL = ExceptionRetryPolicy(
    rules=[RetryRule(exception=f"components.errors.{name}", action=RetryAction.FAIL) for name in ("DataError", "SettingsError")]
)
IN_ORDER = {"depends_on_past": True, "ignore_first_depends_on_past": True}


def run_step(name: str, day: str, **options: object) -> None:
    """Run one step of a day."""
    from datetime import date

    from components import errors, settings, steps

    if not day:
        raise errors.SettingsError("""this run names no day; trigger it with --conf '{"day": "YYYY-MM-DD"}' or with --logical-date""")
    getattr(steps, name)(date.fromisoformat(day), settings=settings.load_settings(), **options)


@dag(
    dag_id="esmm_daily",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2015, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"day": Param(None, type=["null", "string"], format="date", description="UTC day of a manual run; else its logical date")},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_policy": ON_BAD_DATA_FAIL},
    tags=["esmm"],
    doc_md=__doc__,
)
def esmm_daily() -> None:
    @task(max_active_tis_per_dagrun=2)
    def ingest(day: str, kind: str) -> None:
        run_step("ingest_kind", day, kind=kind)

    @task
    def label(day: str) -> None:
        run_step("label", day)

    @task(retries=0)
    def validate(day: str) -> None:
        run_step("validate", day)

    @task(**IN_ORDER)
    def aggregate(day: str) -> None:
        run_step("aggregate", day)

    @task(pool="publish")
    def publish(day: str) -> None:
        run_step("publish", day)

    @task(pool="trainer", **IN_ORDER)
    def train(day: str) -> None:
        run_step("train", day)

    @task(wait_for_downstream=True, ignore_first_depends_on_past=True)  # the verdict on D-1 decides the champion that D is compared with
    def evaluate(day: str) -> None:
        run_step("evaluate", day)

    @task
    def promote(day: str) -> None:
        run_step("promote", day)

    ready = aggregate(DAY)
    ingest.partial(day=DAY).expand(kind=list(KINDS)) >> label(DAY) >> validate(DAY) >> ready
    ready >> publish(DAY)
    ready >> train(DAY) >> evaluate(DAY) >> promote(DAY)


esmm_daily()
