"""Each service of `esmm up`: its command, its environment, and how it is known to answer."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from components import database
from components.services import mlflow_login
from components.services.airflow_home import REPOSITORY, airflow_home
from components.services.supervisor import Running, Service
from components.settings import Settings

Ready = Callable[[Running], bool]
_ANSWER_SECONDS = 3


def environment(settings: Settings, server: str) -> dict[str, str]:
    """Return the environment of services and of Airflow's tasks: this process's, the places of these settings, the database server."""
    places = {"ESMM_HOME": str(settings.root), "ESMM_DATABASE__URL": server, "AIRFLOW_HOME": str(airflow_home(settings))}
    if settings.data.raw:
        places["ESMM_DATA__RAW"] = str(settings.raw)
    if settings.data.profile:
        places["ESMM_DATA__PROFILE"] = str(settings.profile_path)
    if file := os.environ.get("ESMM_SETTINGS"):
        places["ESMM_SETTINGS"] = str(Path(file).absolute())
    return {
        **os.environ,
        **{f"ESMM_SERVICES__{key.upper()}": str(value) for key, value in settings.services.model_dump().items()},
        **places,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH", "")))),
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def postgres(settings: Settings) -> list[Service]:
    """Return the service that keeps the embedded server running; none where `database.url` names another server."""
    if settings.database.url.get_secret_value():
        return []
    command = (sys.executable, "-m", "components.database", str(settings.root))
    given = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    return [Service("postgres", command, given, ready=_holds)]


def airflow(settings: Settings, given: Mapping[str, str]) -> list[Service]:
    """Return Airflow's services. No triggerer: no task defers. The logs are read from disk, so the scheduler serves none."""
    host, port = settings.services.host, settings.services.airflow_port
    health = f"http://{in_url(host)}:{port}/api/v2/monitor/health"
    command = (sys.executable, "-m", "airflow")
    api_server = Service("airflow-api-server", (*command, "api-server"), given, _answers(health), host, port, "services.airflow_port")
    scheduler = Service("airflow-scheduler", (*command, "scheduler", "--skip-serve-logs"), given, _is_healthy(health, "scheduler"))
    processor = Service("airflow-dag-processor", (*command, "dag-processor"), given, _is_healthy(health, "dag_processor"))
    return [api_server, scheduler, processor]


def mlflow(settings: Settings, given: Mapping[str, str], store: str, login: Mapping[str, str]) -> Service:
    """Return MLflow's UI behind its login, its checks of Host and Origin on.

    What may hold a password is not on its command line: the store's URL, and `login`, as `mlflow_login.configure` gives it.
    """
    host, port = settings.services.host, settings.services.mlflow_port
    command = (sys.executable, "-m", "mlflow", "server", "--app-name", mlflow_login.APP, "--host", host, "--port", str(port))
    own = {"MLFLOW_BACKEND_STORE_URI": store, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **login}
    ready = mlflow_login.demands_login(settings)
    return Service("mlflow", (*command, "--workers", "1"), {**given, **own}, ready, host, port, "services.mlflow_port")


def lookups(settings: Settings, given: Mapping[str, str]) -> Service:
    """Return the feature lookups over HTTP."""
    host, port = settings.services.host, settings.services.lookup_port
    command = (sys.executable, "-m", "components.publish.server")
    return Service("lookups", command, given, _answers(f"http://{in_url(host)}:{port}/health"), host, port, "services.lookup_port")


def in_url(host: str) -> str:
    """Return a host as a URL writes it."""
    return f"[{host}]" if ":" in host else host


def _holds(running: Running) -> bool:
    return database.HELD in running.log.read_text(encoding="utf-8", errors="replace")


def _answers(url: str) -> Ready:
    return lambda _running: _get(url) is not None


def _is_healthy(url: str, part: str) -> Ready:
    def ready(running: Running) -> bool:
        """Tell whether it has reported since it was started: before, the health page may speak of one that was killed."""
        health = json.loads(_get(url) or "{}").get(part, {})
        reported = health.get(f"latest_{part}_heartbeat")
        return health.get("status") == "healthy" and datetime.fromisoformat(reported).timestamp() > running.leader.started

    return ready


def _get(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310 - http, from the settings
            body: bytes = answer.read()
            return body
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
