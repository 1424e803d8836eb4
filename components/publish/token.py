"""The bearer token that lookups over HTTP ask for."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from components.errors import SettingsError

VARIABLE = "ESMM_LOOKUP_TOKEN"


def token_path(root: Path) -> Path:
    """Return the file that holds the token where the environment does not."""
    return root / "secrets" / "lookup_token"


def read_token(root: Path) -> str:
    """Return the token of ESMM_LOOKUP_TOKEN, else of the file, which is made, readable by its owner alone, where it is absent."""
    if token := os.environ.get(VARIABLE, "").strip():
        return token
    path = token_path(root)
    if not path.exists():
        _create(path)
    if token := path.read_text(encoding="utf-8").strip():
        return token
    raise SettingsError(f"lookup token {path}: the file is empty; delete it to have a new one made, or set {VARIABLE}")


def _create(path: Path) -> None:
    """Make a token; of several processes that do so at once, the first one's stands."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, aside = tempfile.mkstemp(dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    with suppress(FileExistsError):
        path.hardlink_to(aside)
    Path(aside).unlink()
