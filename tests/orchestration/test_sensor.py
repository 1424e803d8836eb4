"""The sensor before ingest, as Airflow runs it: a day that is not complete is waited for until its deadline, then fails at once."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from components import database
from components.services import airflow_home, catalogue, demo_logs, metadata, progress, stack
from components.settings import Settings
from components.simulate.world import simulate

REPOSITORY = Path(__file__).parents[2]
FIRST, SECOND = date(2024, 5, 8), date(2024, 5, 9)


def deadline() -> str:
    """Return a deadline that is 12 hours ahead for the second day, and 12 hours gone for the first."""
    end = datetime(SECOND.year, SECOND.month, SECOND.day, tzinfo=UTC) + timedelta(days=1)
    return f"PT{int((datetime.now(UTC) - end + timedelta(hours=12)).total_seconds())}S"


def test_a_day_without_logs_fails_without_a_retry_past_its_deadline_and_is_waited_for_before(shop: Path, tmp_path: Path) -> None:
    given = {
        "ESMM_HOME": str(tmp_path / "home"),
        "ESMM_DATA__RAW": str(shop),
        "ESMM_DATA__PROFILE": str(shop / "profile.toml"),
        "ESMM_INGEST__DEADLINE": deadline(),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "PYTHONWARNINGS": "ignore",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ESMM_", "AIRFLOW_"))}
    command = [sys.executable, str(Path(__file__).parent / "backfill_in_process.py"), str(FIRST), str(SECOND)]
    run = subprocess.run(command, env={**inherited, **given}, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(run.stdout.splitlines()[-1]) == [
        [0, str(FIRST), "arrived", "failed"],
        [0, str(SECOND), "arrived", "up_for_reschedule"],
    ]
    said = run.stdout + run.stderr
    assert f"{FIRST} is not ready: impressions: expected the folder {shop}/impressions/day={FIRST}, found none; the deadline" in said
    assert f"{SECOND} is not ready: impressions: expected the folder {shop}/impressions/day={SECOND}, found none; wait for" in said


@pytest.fixture
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("ESMM_", "AIRFLOW"))]:
        monkeypatch.delenv(name)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_nothing_from_outside")
def test_under_a_real_scheduler_a_waiting_day_goes_on_when_its_logs_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, kept, dags = tmp_path / "raw", tmp_path / "kept", tmp_path / "dags"
    simulate(raw, start=SECOND, days=1, impressions_per_day=500, seed=5)
    (raw / "impressions").rename(kept)
    (raw / "impressions").mkdir()
    dags.mkdir()
    text = (REPOSITORY / "dags" / "esmm_daily.py").read_text()
    (dags / "esmm_daily.py").write_text(text.replace('"poke_interval": timedelta(minutes=5)', '"poke_interval": timedelta(seconds=5)'))
    for name, value in {"DATA__RAW": str(raw), "DATA__PROFILE": str(raw / "profile.toml"), "INGEST__DEADLINE": deadline()}.items():
        monkeypatch.setenv(f"ESMM_{name}", value)
    settings = Settings(home=tmp_path / "home")
    settings = Settings(home=settings.home, services=demo_logs.free_ports(settings))
    try:
        stack.up(settings, schedule=False, dags=dags)
        url = database.database_url(settings, "airflow")
        days = ("--from-date", str(FIRST), "--to-date", str(SECOND), "--reprocess-behavior", "failed")
        given = catalogue.environment(settings, database.server_url(settings))
        airflow_home.run_commands([("backfill", "create", "--dag-id", "esmm_daily", *days)], given, log=tmp_path / "commands.log")
        wait_for(url, {(FIRST, "arrived", "failed"), (SECOND, "arrived", "up_for_reschedule")})
        failed = next(task for task in metadata.newest_backfill(url, "esmm_daily") if task.state == "failed")
        assert failed.attempt == 1
        said = progress.last_words(progress.log_of(failed, settings.root / "logs" / "airflow"))
        assert f"{FIRST} is not ready: impressions: expected the folder {raw}/impressions/day={FIRST}, found none on any day; " in said
        (raw / "impressions").rmdir()
        kept.rename(raw / "impressions")
        wait_for(url, {(SECOND, "arrived", "success"), (SECOND, "ingest", "success")})
    finally:
        database.release(settings)
        stack.down(settings)


def wait_for(url: str, expected: set[tuple[date, str, str]]) -> None:
    """Wait until the backfill's tasks are in the states expected, for two minutes."""
    until = time.monotonic() + 120
    while not expected <= {(task.day, task.task, task.state) for task in metadata.newest_backfill(url, "esmm_daily")}:
        assert time.monotonic() < until, metadata.newest_backfill(url, "esmm_daily")
        time.sleep(1)
