"""The embedded PostgreSQL server of one home: started by its first user, stopped after its last, however that one ended.

Every user holds a shared lock on `users.lock`; the kernel lets go of it even after kill -9. A keeper process (`postgres_keeper`) is the
server's parent and waits for the exclusive lock: once it has it, nobody uses the server. `start.lock` lets one starter in at a time.
"""

import atexit
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psutil

from components.errors import ServiceError

PORT = 5432
"""Only part of the socket's name: the server listens on no network address."""
START_SECONDS = 120
_ATTEMPTS = 3
_handles: dict[Path, int] = {}
_keepers: dict[Path, subprocess.Popen[bytes]] = {}


def join(folder: Path) -> str:
    """Return the URL, without a database name, of the server in `folder`, starting it when it is not running.

    This process counts as a user until it ends or calls `leave`. Raises ServiceError naming the log when the server does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder not in _handles:
        _handles[folder] = open_lock(folder / "users.lock", fcntl.LOCK_SH)
        atexit.register(_leave_at_exit, folder, os.getpid())
    with _locked(folder / "start.lock"):
        socket = _ready_socket(folder)
        if socket is None:
            socket = _start(folder)
    return f"postgresql://postgres@/?host={quote(socket)}&port={PORT}"


def leave(folder: Path) -> None:
    """Stop being a user; when that was the last one, return only once the server is gone."""
    handle = _handles.pop(folder, None)
    if handle is None:
        return
    os.close(handle)
    if not _stop_unused(folder) and _is_free(folder / "users.lock", fcntl.LOCK_SH):
        return  # others use it
    _wait_until(lambda: _keeper_pid(folder) is None, START_SECONDS)
    if started := _keepers.pop(folder, None):
        started.wait()


def _stop_unused(folder: Path) -> bool:
    """Ask the keeper to stop where there are no users; tell whether there were none. A new user waits meanwhile."""
    try:
        lock = open_lock(folder / "users.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if keeper := _keeper_pid(folder):
        os.kill(keeper, signal.SIGTERM)
        _wait_until(lambda: _keeper_pid(folder) is None, START_SECONDS)
    os.close(lock)
    return True


def _leave_at_exit(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child shares its parent's handle and must not close the server under it
        leave(folder)


def open_lock(path: Path, mode: int) -> int:
    """Open a lock file and lock it; closing the returned descriptor, or the end of the process, unlocks it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_free(path: Path, mode: int) -> bool:
    try:
        os.close(open_lock(path, mode | fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = open_lock(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def _keeper_pid(folder: Path) -> int | None:
    """Return the keeper's pid, or None where no process holds the keeper's lock."""
    if _is_free(folder / "keeper.lock", fcntl.LOCK_EX):
        return None
    written = (folder / "keeper.lock").read_text(encoding="ascii")
    return int(written) if written else None


def _ready_socket(folder: Path) -> str | None:
    """Return the folder of the server's socket, or None where the server does not run (its pid file has 8 lines once it is ready)."""
    try:
        lines = (folder / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    ready = len(lines) >= 8 and lines[7].strip() == "ready" and _is_kept(int(lines[0]), _keeper_pid(folder))
    return lines[4] if ready else None


def _is_kept(pid: int, keeper: int | None) -> bool:
    """Tell whether a process is the keeper's living child: the pid of a file left by a crash may be any program's."""
    try:
        process = psutil.Process(pid)
        return keeper is not None and process.ppid() == keeper and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _start(folder: Path) -> str:
    """Start a keeper and wait for its server. A start may fail on what passes, such as the last moments of a killed server: try again."""
    for _ in range(_ATTEMPTS):
        keeper = _keepers[folder] = _launch_keeper(folder)
        _wait_until(partial(_is_settled, keeper, folder), START_SECONDS)
        if socket := _ready_socket(folder):
            return socket
        if keeper.poll() is None:
            break  # it is neither ready nor at an end: another would wait for the same lock
    log = folder / "postgres.log"
    tail = "".join(log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)[-5:])
    raise ServiceError(f"PostgreSQL in {folder} does not start ({_ATTEMPTS} attempts); see {log}, which ends:\n{tail}")


def _is_settled(keeper: subprocess.Popen[bytes], folder: Path) -> bool:
    return keeper.poll() is not None or _ready_socket(folder) is not None


def _launch_keeper(folder: Path) -> subprocess.Popen[bytes]:
    (folder / "keeper.lock").write_text("", encoding="ascii")
    with (folder / "postgres.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "components.postgres_keeper", str(folder)],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
