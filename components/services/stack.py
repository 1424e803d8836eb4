"""`esmm up`, `esmm down` and the state in between."""

import logging
from collections.abc import Sequence
from pathlib import Path

from components import database
from components.services import airflow_home, catalogue, mlflow_login
from components.services.interrupts import interrupts_raise, interrupts_wait
from components.services.supervisor import Service, Supervisor
from components.settings import Settings

_log = logging.getLogger(__name__)


def up(settings: Settings, *, schedule: bool = True, dags: Path = airflow_home.DAGS, then: Sequence[Sequence[str]] = ()) -> dict[str, str]:
    """Start the services that do not run, wait until all answer, and return where each is. Calling it again is fine.

    Without `schedule`, Airflow makes no daily runs: only backfills and manual ones. `then`: airflow commands to run before it starts.
    Raises ServiceError naming the log or the setting; what this call started is stopped again.
    """
    supervisor = Supervisor(settings.root)
    with supervisor.exclusive(), interrupts_raise():
        before = {running.name for running in supervisor.running() if running.is_alive}
        try:
            _start(settings, supervisor, schedule=schedule, dags=dags, then=then)
        except BaseException:
            with interrupts_wait():
                supervisor.stop(keep=before)
            raise
        finally:
            database.release(settings)
        return {"state": "already up" if len(before) == len(supervisor.running()) else "up", **places(settings)}


def down(settings: Settings) -> dict[str, list[str]]:
    """Stop every service of this home, also when it is half started or has crashed; return the names of those that still ran."""
    supervisor = Supervisor(settings.root)
    with supervisor.exclusive():
        return {"stopped": supervisor.stop()}


def status(settings: Settings) -> dict[str, str]:
    """Return each started service and whether it runs."""
    return {
        running.name: f"running, pid {running.leader.pid}" if running.is_alive else f"ended; see {running.log}"
        for running in Supervisor(settings.root).running()
    }


def places(settings: Settings) -> dict[str, str]:
    """Return where a person finds each service."""
    home, ports = settings.root, settings.services
    host = catalogue.in_url(ports.host)
    return {
        "airflow": f"http://{host}:{ports.airflow_port}",
        "airflow_user": f"{airflow_home.USER}, password in {home / 'secrets' / 'airflow_passwords.json'}",
        "airflow_commands": f"AIRFLOW_HOME={airflow_home.airflow_home(settings)} airflow ...",
        "mlflow": f"http://{host}:{ports.mlflow_port}",
        "mlflow_user": f"{mlflow_login.USER}, password in {mlflow_login.password_path(settings)}",
        "lookups": f"http://{host}:{ports.lookup_port}",
        "lookup_token": str(home / "secrets" / "lookup_token"),
        "logs": str(home / "logs"),
    }


def _start(settings: Settings, supervisor: Supervisor, *, schedule: bool, dags: Path, then: Sequence[Sequence[str]]) -> None:
    supervisor.launch(catalogue.postgres(settings))
    supervisor.wait(catalogue.postgres(settings))
    urls = {name: database.database_url(settings, name) for name in ("airflow", "mlflow", mlflow_login.DATABASE, "feast")}
    given = catalogue.environment(settings, database.server_url(settings))
    api_server, scheduler, processor = airflow = catalogue.airflow(settings, given)
    mlflow_login.keep_password(settings, urls[mlflow_login.DATABASE])
    login = mlflow_login.configure(settings, urls[mlflow_login.DATABASE])
    others: list[Service] = [catalogue.mlflow(settings, given, urls["mlflow"], login), catalogue.lookups(settings, given)]
    supervisor.check_ports([*others, *airflow])
    supervisor.launch(others)
    if supervisor.missing(airflow):
        airflow_home.configure(settings, urls["airflow"], dags=dags, schedule=schedule)
        airflow_home.prepare(settings, given, then=then)
    supervisor.launch([api_server, processor])
    supervisor.wait([api_server])  # a task that the scheduler starts before the API answers fails, and loses an attempt
    supervisor.launch([scheduler])
    supervisor.wait([*others, *airflow])
