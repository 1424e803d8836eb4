"""`make demo`: days of logs through a real Airflow backfill, what came out of it, and no process left behind."""

import ctypes
import json
import os
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psutil
from rich.console import Console

from components import database
from components.errors import DataError, ServiceError
from components.records import write_text
from components.services import airflow_home, demo_logs, metadata, progress, stack, summary
from components.services.catalogue import in_url
from components.services.interrupts import interrupts_raise, interrupts_wait
from components.services.processes import Identity, end_all
from components.services.supervisor import Supervisor, tail
from components.settings import Settings

_MAX_ACTIVE_RUNS = 4


def demo(settings: Settings, *, raw: Path | None, profile: Path | None, first: date | None, last: date | None) -> int:
    """Run the days from `first` through `last` of the landing zone `raw`, or five simulated days; return the exit status.

    Everything is kept under the settings' home. Running it again runs the days again.
    """
    console = summary.output_console()
    chosen, days = demo_logs.choose(settings, raw=raw, profile=profile, first=first, last=last)
    try:
        with _alone(chosen, console):
            if raw is None and demo_logs.simulate_once(chosen, days):
                console.print(f"simulated {len(days)} days of {demo_logs.IMPRESSIONS:,} impressions in {chosen.raw}", highlight=False)
            _backfill(chosen, days, console)
            answer = _look_up(chosen, days[-1])
    except (ServiceError, DataError) as error:
        console.print(f"demo failed: {error}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        if isinstance(error, progress.BackfillFailedError):
            console.print(_repair(chosen, days), markup=False, highlight=False, soft_wrap=True)
        return 1
    summary.print_summary(chosen, days[0], days[-1], console=console)
    console.print(answer, markup=False, highlight=False, soft_wrap=True)
    console.print(_what_next(chosen, days), markup=False, highlight=False, soft_wrap=True)
    return 0


def _backfill(settings: Settings, days: Sequence[date], console: Console) -> None:
    """Start the services with the backfill already asked for, and watch it to its end."""
    url = database.database_url(settings, "airflow")
    metadata.abandon_unfinished(url, airflow_home.DAG_ID)
    create = [
        *("backfill", "create", "--dag-id", airflow_home.DAG_ID, "--from-date", str(days[0]), "--to-date", str(days[-1])),
        *("--max-active-runs", str(_MAX_ACTIVE_RUNS), "--reprocess-behavior", "completed"),
    ]
    console.print(
        f"starting PostgreSQL, Airflow, MLflow and the lookups, then: airflow {' '.join(create)}", highlight=False, soft_wrap=True
    )
    stack.up(settings, schedule=False, then=[create])
    console.print(
        f"Airflow: {stack.places(settings)['airflow']} ({stack.places(settings)['airflow_user']})", highlight=False, soft_wrap=True
    )
    supervisor = Supervisor(settings.root)

    def poll() -> list[metadata.TaskState]:
        for dead in supervisor.dead({running.name for running in supervisor.running()}):
            raise ServiceError(f"{dead.name} ended by itself; {tail(dead.log)}")
        return metadata.newest_backfill(url, airflow_home.DAG_ID)

    progress.watch(poll, days, logs=settings.root / "logs" / "airflow", console=console)


def _look_up(settings: Settings, day: date) -> str:
    """Ask the lookups over HTTP for the features of the day's most active user, or item where the logs have no users."""
    from components.publish.token import read_token

    entity, key = _busiest(settings, day)
    host = f"{in_url(settings.services.host)}:{settings.services.lookup_port}"
    url = f"http://{host}/v1/features/{entity}/{urllib.parse.quote(key, safe='')}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {read_token(settings.root)}"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
            found = json.load(reply)
    except OSError as error:
        raise ServiceError(f"lookup GET {url}: {error}; {tail(Supervisor(settings.root).log_of('lookups'))}") from None
    features = {name: value[:3] if isinstance(value, list) else value for name, value in found["features"].items() if value is not None}
    return f"lookup GET {url}\n  day {found['day']}, {json.dumps(features)}"


def _busiest(settings: Settings, day: date) -> tuple[str, str]:
    import polars as pl

    from components.lake import Lake
    from components.tables import ITEM_FEATURES, USER_FEATURES

    entity, table = ("user", USER_FEATURES) if settings.profile.has_users else ("item", ITEM_FEATURES)
    key = f"{entity}_id"
    rows = Lake(settings.lake_uri, settings.profile).scan(table, day).filter(pl.col(key).is_not_null())
    top = rows.sort(f"{entity}_click_count_7d", key, descending=[True, False]).head(1).select(key).collect()
    return entity, str(top.item())


def _repair(settings: Settings, days: Sequence[date]) -> str:
    return (
        f"mend the cause, then run the demo again; or keep what is done and go on from the failed tasks:\n"
        f"  {_in_home(settings)} esmm up\n"
        f"  AIRFLOW_HOME={airflow_home.airflow_home(settings)} airflow tasks clear {airflow_home.DAG_ID}"
        f" -s {days[0]} -e {days[-1]} --only-failed -y"
    )


def _what_next(settings: Settings, days: Sequence[date]) -> str:
    here = _in_home(settings)
    return (
        f"report: {settings.root / 'reports' / f'day={days[-1]}' / 'index.html'}\n"
        "next:\n"
        f"  {here} esmm models    every version, its verdict, the champion\n"
        f"  {here} esmm up    the services, to stay: Airflow, MLflow, lookups (esmm down stops them)\n"
        "  ESMM_HOME=<another folder> make demo RAW=<landing zone> PROFILE=<profile.toml> FROM=<day> TO=<day>    your own logs"
    )


def _in_home(settings: Settings) -> str:
    """Return the environment in which commands find this home and its logs."""
    told = [f"ESMM_HOME={settings.root}"]
    if settings.raw != settings.root / "raw":
        told += [f"ESMM_DATA__RAW={settings.raw}", f"ESMM_DATA__PROFILE={settings.profile_path}"]
    return " ".join(told)


@contextmanager
def _alone(settings: Settings, console: Console) -> Iterator[None]:
    """Be the only one who runs services in this home, and leave no process behind however the body ends."""
    _clear_way(settings)
    marker = settings.root / "services" / "demo.json"
    write_text(marker, Identity.of(psutil.Process().pid).model_dump_json())
    _adopt_orphans()
    before = set(psutil.Process().children(recursive=True))
    try:
        with interrupts_raise():
            yield
    finally:
        with interrupts_wait():
            console.print("stopping the services", highlight=False)
            stack.down(settings)
            database.release(settings)
            end_all(set(psutil.Process().children(recursive=True)) - before, grace_s=5)
            _reap()
            marker.unlink(missing_ok=True)


def _clear_way(settings: Settings) -> None:
    """Stop what a killed demo left running. Raises ServiceError when a demo or `esmm up` is at work here."""
    marker = settings.root / "services" / "demo.json"
    if marker.exists():
        if Identity.model_validate_json(marker.read_text(encoding="utf-8")).process():
            raise ServiceError(f"a demo is running in {settings.root}; wait for it, or set ESMM_HOME to another folder")
        stack.down(settings)
    if any(running.is_alive for running in Supervisor(settings.root).running()):
        raise ServiceError(f"the services of {settings.root} are up; run `esmm down` first, or set ESMM_HOME to another folder")


def _reap() -> None:
    """Collect ended children, those adopted too, so that none stays behind as a zombie."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that they can be found and reaped."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
