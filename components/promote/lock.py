"""One writer of the registry at a time, over all processes and, with PostgreSQL, over all machines.

The database cannot decide who is newest by itself (MLflow commits each tag and alias apart), so a change of the registry is done under
this lock. It ends with its holder, however that one ended: the server or the kernel lets go of it.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from components.errors import RegistryError

_KEY = 0x65736D6D
"""Of the advisory lock, within MLflow's database: "esmm"."""


@contextmanager
def exclusive(tracking_uri: str) -> Iterator[None]:
    """Wait for the lock of the registry in this database, and hold it. Not reentrant."""
    url = make_url(tracking_uri)
    backend = url.get_backend_name()
    if backend == "postgresql":
        with _advisory_lock(tracking_uri):
            yield
    elif backend == "sqlite" and url.database:
        with _file_lock(Path(f"{url.database}.lock")):
            yield
    else:
        raise RegistryError(f"registry: expected a postgresql or sqlite database, found {backend}; set database.url")


@contextmanager
def _advisory_lock(tracking_uri: str) -> Iterator[None]:
    engine = create_engine(tracking_uri, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:  # closing it releases the lock
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _KEY})
        yield


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.open("a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
