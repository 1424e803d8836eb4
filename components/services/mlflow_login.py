"""The login of MLflow's UI and API: MLflow's own basic-auth app, its configuration file, and whether it keeps strangers out.

The kept password is the user's, as with Airflow: MLflow takes one when it first makes the user, and here its hash is set again at every
start, since a home may be newer than the database (`database.url`) or its password changed.
"""

import base64
import http.client
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from components.errors import ServiceError
from components.records import write_text
from components.services import keys
from components.services.supervisor import Running
from components.settings import Settings

APP = "basic-auth"
USER = "admin"
DATABASE = "mlflow_users"
_PROBE = "/version"
"""Behind the login, and answered whatever name the Host header gives."""
_ANSWER_SECONDS = 3
_REMEMBERED_SECONDS = 60
"""For how long MLflow takes a login that it has checked: each check of a password's hash costs some 80 ms, more than most answers."""


def configure(settings: Settings, users: str) -> dict[str, str]:
    """Write the app's configuration, with the URL of its users' database, and return what MLflow's environment must say besides.

    The variables win over the file, and over what the caller's shell may have set: so the password is the kept one.
    """
    path = settings.root / "services" / "mlflow_auth.ini"
    told = {
        "database_uri": users.replace("%", "%%"),
        "admin_username": USER,
        "default_permission": "READ",
        "auth_cache_ttl_seconds": _REMEMBERED_SECONDS,
    }
    write_text(path, "[mlflow]\n" + "".join(f"{key} = {value}\n" for key, value in told.items()))  # mode 0600: the URL may hold a password
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(path),
        "MLFLOW_AUTH_ADMIN_USERNAME": USER,
        "MLFLOW_AUTH_ADMIN_PASSWORD": _password(settings),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": keys.token(settings.root, "mlflow_flask"),
    }


def keep_password(settings: Settings, users: str) -> None:
    """Make the kept password the user's, where MLflow has made the user. MLflow has no command for it but one that asks for the old one."""
    import psycopg2
    from werkzeug.security import generate_password_hash

    connection = psycopg2.connect(users)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('users') IS NOT NULL")
            if cursor.fetchall() == [(True,)]:
                told = (generate_password_hash(_password(settings)), USER)
                cursor.execute("UPDATE users SET password_hash = %s WHERE username = %s", told)
    finally:
        connection.close()


def password_path(settings: Settings) -> Path:
    """Return the file that holds the user's password."""
    return settings.root / "secrets" / "mlflow_password"


def demands_login(settings: Settings) -> Callable[[Running], bool]:
    """Return the probe of MLflow: it answers the user with the kept password, and nobody without.

    The probe raises ServiceError where MLflow answers anyone.
    """

    def ready(_running: Running) -> bool:
        stranger = _status(settings)
        if stranger == HTTPStatus.OK:
            raise ServiceError("mlflow: answers without a login, as before it had one; run `esmm down`, then `esmm up`")
        return stranger == HTTPStatus.UNAUTHORIZED and _status(settings, _password(settings)) == HTTPStatus.OK

    return ready


def _password(settings: Settings) -> str:
    return keys.password(settings.root, password_path(settings).name)


def _status(settings: Settings, password: str = "") -> int:
    """Return the status of an answer, 0 for none; asked directly, so that no proxy of the environment sees the password."""
    told = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()} if password else {}
    connection = http.client.HTTPConnection(settings.services.host, settings.services.mlflow_port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", _PROBE, headers=told)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
