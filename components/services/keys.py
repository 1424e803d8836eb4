"""Secrets of one home: made once, kept under `<home>/secrets`, readable by this user alone, never printed."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from components.records import write_text

_PASSWORD_BYTES = 16


def token(home: Path, name: str) -> str:
    """Return the secret of this name, 64 random bytes in URL-safe text, making it the first time."""
    return _kept(home, name, lambda: secrets.token_urlsafe(64))


def fernet_key(home: Path) -> str:
    """Return the key with which Airflow encrypts connections and variables."""
    return _kept(home, "airflow_fernet", lambda: base64.urlsafe_b64encode(os.urandom(32)).decode())


def password(home: Path, name: str) -> str:
    """Return the password of this name, short enough to type, making it the first time."""
    return _kept(home, name, lambda: secrets.token_urlsafe(_PASSWORD_BYTES))


def airflow_passwords(home: Path, user: str) -> Path:
    """Return the file that holds the Airflow user's password, as Airflow's simple auth manager reads it."""
    _kept(home, "airflow_passwords.json", lambda: json.dumps({user: secrets.token_urlsafe(_PASSWORD_BYTES)}))
    return home / "secrets" / "airflow_passwords.json"


def _kept(home: Path, name: str, make: Callable[[], str]) -> str:
    path = home / "secrets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    if not path.exists():
        write_text(path, make())  # written aside and renamed, mode 0600
    return path.read_text(encoding="utf-8").strip()
