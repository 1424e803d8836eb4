"""What the services are told, before any of them runs."""

import configparser
import json
import os
import signal
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from components.errors import ServiceError, SettingsError
from components.services import airflow_home, catalogue, demo_logs, keys, mlflow_login, stack
from components.services.interrupts import interrupts_raise, interrupts_wait
from components.settings import Settings

SECRET_URL = "postgresql://me:hunter%402@db.example:5432/"  # noqa: S105 - of nobody


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("ESMM_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_airflow_reads_its_configuration_and_keys_from_a_private_file(settings):
    airflow_home.configure(settings, SECRET_URL + "airflow", dags=Path("/dags"), schedule=False)
    path = airflow_home.airflow_home(settings) / "airflow.cfg"
    written = configparser.ConfigParser()
    written.read(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert written["database"]["sql_alchemy_conn"] == SECRET_URL + "airflow"
    assert written["scheduler"]["use_job_schedule"] == "False"
    assert written["core"]["execution_api_server_url"] == "http://127.0.0.1:8080/execution/"
    assert written["api"]["host"] == "127.0.0.1"
    assert len(written["api_auth"]["jwt_secret"]) >= 64


def test_secrets_are_made_once_and_readable_by_this_user_alone(settings):
    first = (keys.token(settings.root, "airflow_jwt"), keys.fernet_key(settings.root))
    passwords = keys.airflow_passwords(settings.root, "admin")
    assert (keys.token(settings.root, "airflow_jwt"), keys.fernet_key(settings.root)) == first
    assert len(json.loads(passwords.read_text())["admin"]) >= 16
    folder = settings.root / "secrets"
    assert [path.stat().st_mode & 0o777 for path in (folder, *sorted(folder.iterdir()))] == [0o700, 0o600, 0o600, 0o600]


def test_no_command_line_holds_a_secret_and_every_service_binds_the_host_of_the_settings(settings):
    given = catalogue.environment(settings, SECRET_URL)
    services = [
        *catalogue.postgres(settings),
        *catalogue.airflow(settings, given),
        catalogue.mlflow(settings, given, SECRET_URL + "mlflow", mlflow_login.configure(settings, SECRET_URL + "mlflow_users")),
        catalogue.lookups(settings, given),
    ]
    assert not any("hunter" in word for service in services for word in service.command)
    assert {service.host for service in services if service.port} == {"127.0.0.1"}
    assert [service.port_setting for service in services if service.port] == [
        "services.airflow_port",
        "services.mlflow_port",
        "services.lookup_port",
    ]


def test_tasks_are_told_the_home_the_logs_and_the_running_database_server(settings, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESMM_SETTINGS", "mine.toml")
    monkeypatch.setenv("ESMM_GATE__MIN_POSITIVES", "7")
    here = Settings(home=Path("home"), data={"raw": "logs", "profile": "logs/profile.toml"})
    given = catalogue.environment(here, SECRET_URL)
    assert given["ESMM_HOME"] == str(tmp_path / "home")
    assert given["ESMM_SETTINGS"] == str(tmp_path / "mine.toml")
    assert given["ESMM_DATA__RAW"] == str(tmp_path / "logs")
    assert given["ESMM_DATA__PROFILE"] == str(tmp_path / "logs" / "profile.toml")
    assert given["ESMM_GATE__MIN_POSITIVES"] == "7"
    assert given["ESMM_DATABASE__URL"] == SECRET_URL
    assert "ESMM_DATA__RAW" not in catalogue.environment(settings, SECRET_URL)


def test_a_server_by_url_has_no_postgres_service(tmp_path):
    assert [service.name for service in catalogue.postgres(Settings(home=tmp_path))] == ["postgres"]
    assert catalogue.postgres(Settings(home=tmp_path, database={"url": SECRET_URL})) == []


def test_up_on_a_taken_port_names_the_setting_and_leaves_nothing_running(settings):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        taken = Settings(home=settings.home, services={"mlflow_port": port})
        with pytest.raises(ServiceError, match=rf"mlflow: port {port} of 127.0.0.1 is taken .* set services.mlflow_port to a free port"):
            stack.up(taken)
    assert stack.status(taken) == {}
    assert not (settings.root / "postgres" / "data" / "postmaster.pid").exists()


def test_down_and_status_of_a_home_where_nothing_was_started(settings):
    assert stack.down(settings) == {"stopped": []}
    assert stack.status(settings) == {}


def test_the_demo_takes_free_ports_where_the_usual_ones_are_taken(settings):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ports = demo_logs.free_ports(Settings(home=settings.home, services={"lookup_port": port}))
    assert ports["lookup_port"] not in {0, port}


def test_the_demo_simulates_five_days_unless_given_logs(settings, shop):
    chosen, days = demo_logs.choose(settings, raw=None, profile=None, first=None, last=None)
    assert (chosen.raw, days[0], days[-1]) == (settings.root / "raw", date(2024, 5, 1), date(2024, 5, 5))
    other = Settings(home=settings.home.with_name("other"))
    chosen, days = demo_logs.choose(other, raw=shop, profile=shop / "profile.toml", first=date(2024, 5, 2), last=None)
    assert (chosen.raw, chosen.profile.name, days) == (shop, "simulated", [date(2024, 5, 2)])


def test_the_demo_refuses_days_in_the_wrong_order_and_a_home_of_another_data_set(settings, shop, tmp_path):
    with pytest.raises(SettingsError, match="expected days FROM through TO"):
        demo_logs.choose(settings, raw=None, profile=None, first=date(2024, 5, 2), last=date(2024, 5, 1))
    demo_logs.choose(settings, raw=None, profile=None, first=None, last=None)
    (settings.root / "runs" / "day=2024-05-01").mkdir(parents=True)
    renamed = tmp_path / "profile.toml"
    renamed.write_text((shop / "profile.toml").read_text().replace('name = "simulated"', 'name = "mine"', 1))
    with pytest.raises(SettingsError, match="holds days of the data set simulated, not mine; set ESMM_HOME"):
        demo_logs.choose(settings, raw=shop, profile=renamed, first=date(2024, 5, 1), last=None)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_request_to_stop_runs_the_cleaning_up_and_a_second_one_does_not_interrupt_it(number, status):
    cleaned = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            with interrupts_wait():
                os.kill(os.getpid(), number)
                cleaned.append(True)

    with pytest.raises(SystemExit) as caught, interrupts_raise():
        work()
    assert (caught.value.code, cleaned) == (status, [True])


def test_importing_the_services_loads_neither_airflow_nor_torch():
    script = (
        "import sys; from components.services import demo; sys.exit(any(name in sys.modules for name in ('airflow', 'torch', 'mlflow')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2]).returncode == 0
