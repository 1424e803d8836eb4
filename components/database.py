"""Where Airflow, MLflow and the Feast registry keep their tables: one PostgreSQL server, one database each.

The server is the one of `database.url`, or the embedded one of this home, which lives while anyone uses it.
"""

import signal
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from components import postgres
from components.errors import ServiceError, SettingsError
from components.settings import Settings

HELD = "holding the embedded PostgreSQL server"
_SECONDS = 10
_ATTEMPTS = 3
_CREATE_LOCK = 20180430
"""Key of the advisory lock under which databases are created: two creations at once would trip over their template."""


def server_url(settings: Settings) -> str:
    """Return the URL of the server, without a database name; starts the embedded server when `database.url` is empty."""
    given = settings.database.url.get_secret_value()
    if not given:
        return postgres.join(_folder(settings))
    parts = urlsplit(given)
    if parts.scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise SettingsError(f"database.url: expected postgresql://user:password@host:port, found scheme {parts.scheme or 'none'}")
    return urlunsplit(parts._replace(scheme="postgresql", path="/"))


def database_url(settings: Settings, name: str) -> str:
    """Return the URL of a database that exists when this returns. Safe to call from many processes at once.

    Raises ServiceError where the server cannot be reached or the database neither exists nor may be created.
    """
    for attempt in range(_ATTEMPTS):
        try:
            url = urlunsplit(urlsplit(server_url(settings))._replace(path=f"/{name}"))
            _ensure(url, name)
            return url
        except ServiceError:
            if attempt == _ATTEMPTS - 1 or settings.database.url.get_secret_value():
                raise  # the embedded server may have crashed just now: joining it again starts it
    raise AssertionError("unreachable")


def release(settings: Settings) -> None:
    """Stop using the embedded server before this process ends; the last user stops it. Connections should be closed by now."""
    postgres.leave(_folder(settings))


def _folder(settings: Settings) -> Path:
    return settings.root / "postgres"


def _ensure(url: str, name: str) -> None:
    import psycopg2
    from psycopg2 import errors

    try:
        psycopg2.connect(url, connect_timeout=_SECONDS).close()
    except psycopg2.OperationalError as error:
        if f'database "{name}" does not exist' not in str(error):
            raise ServiceError(f"database.url: {_place(url)} cannot be reached: {str(error).strip()}") from None
        try:
            _create(url, name)
        except (psycopg2.OperationalError, errors.InsufficientPrivilege) as refused:
            reason = str(refused).strip()
            raise ServiceError(
                f"database.url: {_place(url)} has no database {name} and does not let this user create it ({reason});"
                f' have its owner run: CREATE DATABASE "{name}"'
            ) from None


def _create(url: str, name: str) -> None:
    import psycopg2
    from psycopg2 import errors, sql

    connection = psycopg2.connect(urlunsplit(urlsplit(url)._replace(path="/postgres")), connect_timeout=_SECONDS)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (_CREATE_LOCK,))
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except errors.DuplicateDatabase:
        return
    finally:
        connection.close()


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"PostgreSQL at {parts.hostname}:{parts.port or postgres.PORT}" if parts.hostname else "the embedded PostgreSQL"


def hold(home: Path) -> None:
    """Keep the embedded server of a home running until SIGTERM or SIGINT: the `postgres` service of `esmm up`."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    postgres.join(home / "postgres")
    print(HELD, flush=True)  # noqa: T201 - its log; `esmm up` waits for this line
    stopped.wait()


if __name__ == "__main__":
    hold(Path(sys.argv[1]))
