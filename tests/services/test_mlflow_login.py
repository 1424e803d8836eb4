"""MLflow's login: what its app is told, and the probe, asked of a stand-in server."""

import base64
import configparser
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from components.errors import ServiceError
from components.services import catalogue, mlflow_login, stack
from components.services.processes import Identity
from components.services.supervisor import Running
from components.settings import Settings

USERS = "postgresql://me:hunter%402@db.example:5432/mlflow_users"  # of nobody
RUNNING = Running(name="mlflow", leader=Identity(pid=1, started=0), log=Path("mlflow.log"))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("ESMM_")]:
        monkeypatch.delenv(name)


@contextmanager
def answering(home: Path, statuses: dict[str, int]) -> Iterator[Settings]:
    """Serve a status per Authorization header, 401 for another one, and yield settings that name the server's port as MLflow's."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.get(self.headers.get("Authorization", ""), 401))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield Settings(home=home, services={"mlflow_port": server.server_port})
        finally:
            server.shutdown()
            serving.join()


def header(settings: Settings) -> str:
    mlflow_login.configure(settings, USERS)
    password = mlflow_login.password_path(settings).read_text()
    return "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()


def test_mlflow_runs_its_login_from_private_files_whatever_the_shell_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", "")
    settings = Settings(home=tmp_path)
    told = mlflow_login.configure(settings, USERS)
    service = catalogue.mlflow(settings, catalogue.environment(settings, USERS), USERS, told)
    assert service.command[service.command.index("--app-name") + 1] == "basic-auth"
    path = Path(service.environment["MLFLOW_AUTH_CONFIG_PATH"])
    written = configparser.ConfigParser()
    written.read(path)
    assert (written["mlflow"]["database_uri"], written["mlflow"]["admin_username"]) == (USERS, "admin")
    password = mlflow_login.password_path(settings)
    assert service.environment["MLFLOW_AUTH_ADMIN_PASSWORD"] == password.read_text()
    assert len(password.read_text()) >= 20
    assert len(service.environment["MLFLOW_FLASK_SERVER_SECRET_KEY"]) >= 64
    assert {kept.stat().st_mode & 0o777 for kept in (path, *password.parent.iterdir())} == {0o600}
    assert mlflow_login.configure(settings, USERS) == told
    assert stack.places(settings)["mlflow_user"] == f"admin, password in {password}"


@pytest.mark.parametrize(("status", "ready"), [(200, True), (401, False), (500, False)])
def test_mlflow_is_ready_when_it_lets_in_the_kept_password_alone(tmp_path, status, ready):
    statuses: dict[str, int] = {}
    with answering(tmp_path, statuses) as settings:
        statuses[header(settings)] = status
        assert mlflow_login.demands_login(settings)(RUNNING) is ready


def test_mlflow_without_a_login_is_refused(tmp_path):
    with answering(tmp_path, {"": 200}) as settings, pytest.raises(ServiceError, match="answers without a login"):
        mlflow_login.demands_login(settings)(RUNNING)


@pytest.mark.parametrize("status", [403, 503])
def test_mlflow_that_neither_answers_nor_asks_for_a_login_is_not_ready(tmp_path, status):
    with answering(tmp_path, {"": status}) as settings:
        assert mlflow_login.demands_login(settings)(RUNNING) is False
    assert mlflow_login.demands_login(settings)(RUNNING) is False  # nothing listens any more


def test_the_installed_mlflow_has_the_app_and_what_it_needs():
    from importlib.metadata import distribution, entry_points

    found = entry_points(group="mlflow.app")[mlflow_login.APP]
    assert found.value == "mlflow.server.auth:create_app"
    assert distribution("flask-wtf")
