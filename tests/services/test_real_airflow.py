"""Real services: Airflow with a stand-in DAG, and the demo on a tiny shop, interrupted and whole. Minutes long."""

import base64
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import date
from pathlib import Path

import psutil
import psycopg2
import pytest

from components import database
from components.services import airflow_home, catalogue, demo_logs, metadata, mlflow_login, stack
from components.services.supervisor import Supervisor
from components.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
REPOSITORY = Path(__file__).parents[2]
DAYS = [date(2024, 5, 1), date(2024, 5, 2), date(2024, 5, 3)]
STAND_IN = """
from datetime import datetime, UTC
from airflow.sdk import CronDataIntervalTimetable, dag, task

DAILY = CronDataIntervalTimetable("0 0 * * *", timezone="UTC")

@dag(dag_id="esmm_daily", schedule=DAILY, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False)
def esmm_daily():
    @task(pool="trainer", depends_on_past=True)
    def train(day: str) -> str:
        import os
        assert os.environ["ESMM_HOME"] and os.environ["ESMM_DATABASE__URL"]
        return day
    train("{{ ds }}")

esmm_daily()
"""


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("ESMM_", "AIRFLOW"))]:
        monkeypatch.delenv(name)


def left(home: Path) -> list[list[str]]:
    """Processes that work in a home or were told of it."""
    found = []
    for process in psutil.process_iter():
        try:
            told = str(home) in " ".join(process.cmdline()) or process.environ().get("ESMM_HOME") == str(home)
            if told and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_a_backfill_runs_against_the_services_which_come_back_after_a_kill_and_leave_nothing(tmp_path):
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "esmm_daily.py").write_text(STAND_IN)
    bare = Settings(home=tmp_path / "home")
    settings = Settings(home=bare.home, services=demo_logs.free_ports(bare))
    try:
        assert stack.up(settings, schedule=False, dags=dags)["state"] == "up"
        assert stack.up(settings, schedule=False, dags=dags)["state"] == "already up"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(stack.places(settings)["airflow"] + "/api/v2/dags")  # noqa: S310 - http, ours
        registered = stack.places(settings)["mlflow"] + "/api/2.0/mlflow/registered-models/search"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(registered)  # noqa: S310 - http, ours
        for _ in range(2):
            told = b"admin:" + mlflow_login.password_path(settings).read_bytes()
            signed_in = urllib.request.Request(registered, headers={"Authorization": "Basic " + base64.b64encode(told).decode()})  # noqa: S310
            assert urllib.request.urlopen(signed_in).status == 200  # noqa: S310 - http, ours
            mlflow_login.password_path(settings).unlink()
            assert stack.up(settings, schedule=False, dags=dags)["state"] == "already up"
        secrets = [path.read_text().strip() for path in (settings.root / "secrets").iterdir()]
        commands = [" ".join(command) for command in left(settings.root)]
        assert commands
        assert not any(secret in command for command in commands for secret in secrets)

        scheduler = next(one for one in Supervisor(settings.root).running() if one.name == "airflow-scheduler")
        os.kill(scheduler.leader.pid, signal.SIGKILL)
        time.sleep(0.5)
        assert stack.status(settings)["airflow-scheduler"].startswith("ended; see")
        assert stack.up(settings, schedule=False, dags=dags)["state"] == "up"

        url = database.database_url(settings, "airflow")
        asked = ("backfill", "create", "--dag-id", "esmm_daily", "--from-date", str(DAYS[0]), "--to-date", str(DAYS[-1]))
        given = catalogue.environment(settings, database.server_url(settings))
        airflow_home.run_commands([(*asked, "--reprocess-behavior", "failed")], given, log=tmp_path / "commands.log")
        deadline = time.monotonic() + 120
        tasks = metadata.newest_backfill(url, "esmm_daily")
        while [task.run_state for task in tasks] != ["success"] * 3:
            assert time.monotonic() < deadline, tasks
            time.sleep(1)
            tasks = metadata.newest_backfill(url, "esmm_daily")
        assert [(task.day, task.attempt) for task in tasks] == [(day, 1) for day in DAYS]
        ends = [task.ended_at for task in tasks]
        assert ends == sorted(ends)
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pool, slots FROM slot_pool WHERE pool IN ('trainer', 'publish') ORDER BY pool")
            assert cursor.fetchall() == [("publish", 1), ("trainer", 1)]
        connection.close()
    finally:
        database.release(settings)
        stack.down(settings)
    assert left(settings.root) == []


def start_demo(home: Path, shop: Path) -> subprocess.Popen:
    command = [
        sys.executable,
        "-c",
        "from components.cli import main; main()",
        "demo",
        "--raw",
        str(shop),
        "--profile",
        str(shop / "profile.toml"),
    ]
    given = {
        **os.environ,
        "ESMM_HOME": str(home),
        "ESMM_GATE__MIN_POSITIVES": "2",
        "ESMM_EVALUATION__MIN_POSITIVES": "2",
        "ESMM_VALIDATION__MAX_QUARANTINED_SHARE": "0.2",
    }
    days = ["--from", str(DAYS[0]), "--to", str(DAYS[1])]
    return subprocess.Popen([*command, *days], cwd=REPOSITORY, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_no_process(tmp_path, shop, number, status):
    demo = start_demo(tmp_path / "home", shop)
    for line in demo.stdout:
        if line.startswith("Airflow: "):
            break
    demo.send_signal(number)
    said = demo.communicate(timeout=120)[0]
    assert demo.returncode == status, said
    assert left(tmp_path / "home") == []


def test_a_killed_demo_is_cleared_away_by_the_next_which_runs_whole_and_again(tmp_path, shop):
    home = tmp_path / "home"
    killed = start_demo(home, shop)
    for line in killed.stdout:
        if line.startswith("Airflow: "):
            break
    killed.kill()
    killed.communicate()
    assert left(home)
    for _ in range(2):
        demo = start_demo(home, shop)
        said = demo.communicate(timeout=300)[0]
        assert demo.returncode == 0, said
        assert "Seconds per step" in said
        assert "lookup GET http://127.0.0.1:" in said
        assert (home / "reports" / f"day={DAYS[1]}" / "index.html").exists()
        assert left(home) == []
