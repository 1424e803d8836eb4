"""The day as an Airflow DAG: wiring only. Each task names its day and calls the step of that name in `components.steps`.

Keyed on `ds` (or the `day` parameter of a manual run), never on the data interval: only `ds` is the same day in scheduled, backfilled and
manual runs. Airflow's order is an optimisation; each step finds its inputs by day and refuses when they are missing.

With `work.buckets` above 1, label, relabel and aggregate are shared: mapped tasks before each do a user bucket's part, on whatever machine,
and the step commits what they have made. With `train.where` kubeflow, `train` submits a TrainJob and waits for it. Both settings are
read when the DAG is parsed.

`arrived` looks every five minutes whether the day's logs are all there, and fails at once, without a retry, where they are not and
`ingest.deadline` has passed.
"""

# mypy: disable-error-code="untyped-decorator, call-overload"

from datetime import UTC, datetime, timedelta

from airflow.sdk import CronDataIntervalTimetable, ExceptionRetryPolicy, Param, RetryAction, RetryRule, chain, dag, task

from components.profile import KINDS
from components.settings import load_settings

DAY = "{{ params.day or ds | default('') }}"  # a manual run with neither has no `ds`
ON_BAD_DATA_FAIL = ExceptionRetryPolicy(
    rules=[RetryRule(exception=f"components.errors.{name}", action=RetryAction.FAIL) for name in ("DataError", "SettingsError")]
)
IN_ORDER = {"depends_on_past": True, "ignore_first_depends_on_past": True}
TRAINER = {"pool": "trainer", **IN_ORDER}
WAITING = {"mode": "reschedule", "poke_interval": timedelta(minutes=5)}  # takes no slot between two looks


def run_step(name: str, day: str, *, module: str = "steps", **options: object) -> object:
    """Run one step of a day; returns what it returns."""
    from datetime import date
    from importlib import import_module

    from components import errors, settings

    if not day:
        raise errors.SettingsError("""this run names no day; trigger it with --conf '{"day": "YYYY-MM-DD"}' or with --logical-date""")
    step = getattr(import_module(f"components.{module}"), name)
    return step(date.fromisoformat(day), settings=settings.load_settings(), **options)


@task.sensor(**WAITING)
def arrived(day: str) -> bool:
    return bool(run_step("arrived", day, module="enquiries"))


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
def relabel(day: str) -> None:
    run_step("relabel", day)


@task(**IN_ORDER)
def aggregate(day: str) -> None:
    run_step("aggregate", day)


@task
def attribute(day: str, step: str, bucket: int) -> None:
    run_step("attribute", day, module="sharing", step=step, bucket=bucket)


@task
def lay(day: str, step: str, bucket: int) -> None:
    run_step("lay", day, module="sharing", step=step, bucket=bucket)


@task(task_id="aggregate_users", wait_for_downstream=True, **IN_ORDER)  # a bucket's features are rolled from yesterday's
def prepare(day: str, bucket: int) -> None:
    run_step("prepare", day, module="sharing", bucket=bucket)


@task(pool="publish")
def publish(day: str) -> None:
    run_step("publish", day)


@task(**TRAINER)
def train(day: str) -> None:
    run_step("train", day)


def trained(day: str, *, where: str) -> object:
    """Draw `train` as a step of this task, or as a job of a cluster's that this task waits for."""
    if where == "local":
        return train(day)
    from components.kubeflow.operator import TrainJobOperator

    return TrainJobOperator(task_id="train", day=day, **TRAINER)


@task(wait_for_downstream=True, ignore_first_depends_on_past=True)  # the verdict on D-1 decides the champion that D is compared with
def evaluate(day: str) -> None:
    run_step("evaluate", day)


@task
def promote(day: str) -> None:
    run_step("promote", day)


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
    """Draw the day."""
    settings = load_settings()
    buckets = range(settings.work.buckets)
    shared: dict[str, list[object]] = {"label": [], "relabel": [], "aggregate": []}
    if len(buckets) > 1:
        for step in ("label", "relabel"):
            outcomes = attribute.override(task_id=f"{step}_outcomes").partial(day=DAY, step=step).expand(bucket=list(buckets))
            files = lay.override(task_id=f"{step}_files").partial(day=DAY, step=step).expand(bucket=list(buckets))
            shared[step] = [outcomes, files]
        shared["aggregate"] = [prepare.partial(day=DAY).expand(bucket=list(buckets))]
    features = aggregate(DAY)
    chain(
        arrived(DAY),
        ingest.partial(day=DAY).expand(kind=list(KINDS)),
        *shared["label"],
        label(DAY),
        validate(DAY),
        *shared["relabel"],
        relabel(DAY),
        *shared["aggregate"],
        features,
    )
    features >> publish(DAY)
    features >> trained(DAY, where=settings.train.where) >> evaluate(DAY) >> promote(DAY)


esmm_daily()
