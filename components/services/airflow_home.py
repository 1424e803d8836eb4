"""Airflow's home: its configuration file, and several `airflow` commands run by one process, since starting each costs 7-10 s.

Everything Airflow must know is in `<home>/airflow/airflow.cfg` (0600: it holds keys), so `AIRFLOW_HOME=<home>/airflow airflow ...` works.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.errors import ServiceError
from components.records import write_text
from components.services import keys
from components.services.processes import Identity, end_session
from components.services.supervisor import tail
from components.settings import Settings

REPOSITORY = Path(__file__).parents[2]
DAGS = REPOSITORY / "dags"
DAG_ID = "esmm_daily"
USER = "admin"
_COMMAND_SECONDS = 300
_PREPARE: tuple[tuple[str, ...], ...] = (
    ("db", "migrate"),
    ("pools", "set", "trainer", "1", "training: one day at a time"),
    ("pools", "set", "publish", "1", "feature store writes: one day at a time"),
    ("dags", "reserialize"),
    ("dags", "unpause", DAG_ID),
)


def airflow_home(settings: Settings) -> Path:
    """Return AIRFLOW_HOME."""
    return settings.root / "airflow"


def configure(settings: Settings, database: str, *, dags: Path, schedule: bool) -> None:
    """Write airflow.cfg. Without `schedule`, no daily run is made: only backfills and manual runs."""
    home, host, port = settings.root, settings.services.host, settings.services.airflow_port
    sections: dict[str, dict[str, object]] = {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": settings.services.airflow_parallelism,
            "dags_folder": dags,
            "load_examples": False,
            "dags_are_paused_at_creation": False,
            "default_timezone": "utc",
            "fernet_key": keys.fernet_key(home),
            "execution_api_server_url": f"http://{_in_url(host)}:{port}/execution/",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": keys.airflow_passwords(home, USER),
        },
        "database": {"sql_alchemy_conn": database},
        "logging": {
            "base_log_folder": home / "logs" / "airflow",
            "dag_processor_child_process_log_directory": home / "logs" / "airflow" / "dag_processor",
        },
        "api": {
            "host": host,
            "port": port,
            "base_url": f"http://{_in_url(host)}:{port}",
            "workers": 1,
            "secret_key": keys.token(home, "airflow_api"),
        },
        "api_auth": {"jwt_secret": keys.token(home, "airflow_jwt")},
        "scheduler": {
            "use_job_schedule": schedule,
            "scheduler_idle_sleep_time": 0.5,
            "max_dagruns_per_loop_to_schedule": 100,  # 20 running runs would keep a backfill's from being looked at (apache/airflow 58554)
        },
        "dag_processor": {"parsing_processes": 1},
    }
    lines = (
        f"[{section}]\n" + "".join(f"{key} = {_escaped(value)}\n" for key, value in values.items()) for section, values in sections.items()
    )
    write_text(airflow_home(settings) / "airflow.cfg", "\n".join(lines))


def prepare(settings: Settings, environment: Mapping[str, str], *, then: Sequence[Sequence[str]] = ()) -> None:
    """Bring the metadata database up to date, make the pools, read and unpause the DAG, and run the commands in `then`."""
    run_commands([*_PREPARE, *then], environment, log=settings.root / "logs" / "services" / "airflow-commands.log")


def run_commands(commands: Sequence[Sequence[str]], environment: Mapping[str, str], *, log: Path) -> None:
    """Run `airflow` commands, each given without the leading `airflow`, one after another in one process of their own.

    Raises ServiceError naming the command that failed, and the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "components.services.airflow_commands"],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    leader = Identity.of(process.pid)
    try:
        process.communicate(json.dumps(commands).encode(), timeout=_COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        raise ServiceError(f"airflow commands did not end within {_COMMAND_SECONDS} s; {tail(log)}") from None
    finally:
        end_session(leader, grace_s=2)
        process.wait()
    if process.returncode != 0:
        raise ServiceError(f"an airflow command failed with status {process.returncode}; {tail(log)}")


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
