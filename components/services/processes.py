"""Processes of this machine, told apart from later ones with the same pid, and ended together with all that they started.

Each service leads a session of its own. Children, workers and tasks stay in it whatever groups they make, so the session finds them all.
"""

import os
import signal
import time
from collections.abc import Iterable
from typing import Self

import psutil
from pydantic import BaseModel, ConfigDict

_SAME_START_S = 2.0
"""psutil reads start times off the wall clock, which may be stepped; a pid is not given out again this soon."""


class Identity(BaseModel):
    """A process: its pid and when it started."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    started: float
    """Seconds since 1970 UTC."""

    @classmethod
    def of(cls, pid: int) -> Self:
        """Identify a running process; raises psutil.NoSuchProcess when it is gone."""
        return cls(pid=pid, started=psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """Return the process, or None when it has ended, also where its pid now belongs to another one."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.started) < _SAME_START_S
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def session_of(leader: Identity) -> list[psutil.Process]:
    """Return the living processes of the session that `leader` leads or led, and their descendants."""
    if psutil.pid_exists(leader.pid) and leader.process() is None and not _is_zombie(leader.pid):
        return []  # the pid is another process's: with a living session it could not have been given out again
    members = {process for process in psutil.process_iter() if _session(process.pid) == leader.pid}
    return [process for process in _with_descendants(members) if _is_alive(process)]


def end_all(processes: Iterable[psutil.Process], *, grace_s: float) -> None:
    """End processes: SIGTERM, and SIGKILL for those that are still there after `grace_s` seconds."""
    left = list(processes)
    for process in left:
        _signal(process, signal.SIGTERM)
    left = _wait_for(left, seconds=grace_s)
    for process in left:
        _signal(process, signal.SIGKILL)
    _wait_for(left, seconds=10)


def end_session(leader: Identity, *, grace_s: float) -> None:
    """End a service and everything in its session, also what was started while it was ending."""
    end_all(session_of(leader), grace_s=grace_s)
    for _ in range(5):
        end_all(session_of(leader), grace_s=1)


def _wait_for(processes: list[psutil.Process], *, seconds: float) -> list[psutil.Process]:
    """Return those that are still there after a time; one that only waits to be reaped has ended."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if _is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _with_descendants(processes: set[psutil.Process]) -> set[psutil.Process]:
    found = set(processes)
    for process in processes:
        try:
            found.update(process.children(recursive=True))
        except psutil.NoSuchProcess:
            continue
    return found


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
