"""Starting a list of services, waiting until each answers, and stopping them, whatever state they were left in.

What runs is kept in one file, rewritten after every start and stop: a crash at any point leaves enough to stop the rest.
"""

import fcntl
import logging
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from components.errors import ServiceError
from components.records import write_text
from components.services.processes import Identity, end_session

_log = logging.getLogger(__name__)
_TAIL_LINES = 15


@dataclass(frozen=True)
class Service:
    """One process to run."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    """All of it: nothing is inherited."""
    ready: Callable[[Path], bool]
    """Whether it answers yet; given its log file."""
    host: str = ""
    port: int = 0
    """Port that it will listen on; 0 for none."""
    port_setting: str = ""
    """The setting to change when the port is taken."""


class Running(BaseModel):
    """One started service, as kept in the state file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    leader: Identity
    log: Path

    @property
    def is_alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self.leader.process() is not None


class State(BaseModel):
    """The state file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    services: tuple[Running, ...] = ()
    """In the order in which they were started."""


class Supervisor:
    """The services of one home."""

    def __init__(self, home: Path, *, start_s: float = 180, grace_s: float = 15) -> None:
        """Name the home; nothing is created yet."""
        self.folder = home / "services"
        self.logs = home / "logs" / "services"
        self.start_s = start_s
        self.grace_s = grace_s

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the home's services: one `up` or `down` at a time; the next one waits."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def running(self) -> tuple[Running, ...]:
        """Return the services that were started and not stopped, dead ones too."""
        try:
            return State.model_validate_json((self.folder / "state.json").read_text(encoding="utf-8")).services
        except FileNotFoundError:
            return ()

    def start(self, services: Sequence[Service]) -> None:
        """Start the services that do not run, together, and wait until all answer.

        Raises ServiceError naming the setting when a port is taken, and the log when a service ends or does not answer in time.
        """
        alive = {running.name for running in self.running() if running.is_alive}
        missing = [service for service in services if service.name not in alive]
        for service in missing:
            _refuse_taken_port(service)
        for service in missing:
            self._launch(service)
        self._wait(services)

    def stop(self, *names: str) -> list[str]:
        """Stop the named services, or all, last started first; return the names of those that still ran. Safe to repeat."""
        stopped = []
        for running in reversed(self.running()):
            if names and running.name not in names:
                continue
            if running.is_alive:
                _log.info("stopping %s", running.name)
                stopped.append(running.name)
            end_session(running.leader, grace_s=self.grace_s)
            self._keep(other for other in self.running() if other.name != running.name)
        return stopped

    def log_of(self, name: str) -> Path:
        """Return the log file of a service."""
        return self.logs / f"{name}.log"

    def dead(self, names: Set[str]) -> list[Running]:
        """Return those of the named services that ended by themselves."""
        return [running for running in self.running() if running.name in names and not running.is_alive]

    def _launch(self, service: Service) -> None:
        _log.info("starting %s", service.name)
        self.stop(service.name)  # what a crash left of it
        log = self.log_of(service.name)
        self.logs.mkdir(parents=True, exist_ok=True)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        with log.open("wb") as output:
            started = subprocess.Popen(
                service.command,
                env=dict(service.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        leader = Identity.of(started.pid)
        self._keep((*self.running(), Running(name=service.name, leader=leader, log=log)))
        _started[leader] = started

    def _keep(self, services: Iterable[Running]) -> None:
        write_text(self.folder / "state.json", State(services=tuple(services)).model_dump_json(indent=1) + "\n")

    def _wait(self, services: Sequence[Service]) -> None:
        deadline = time.monotonic() + self.start_s
        waiting = list(services)
        while waiting:
            for dead in self.dead({service.name for service in services}):
                raise ServiceError(f"{dead.name} ended while starting; {tail(dead.log)}")
            if time.monotonic() > deadline:
                name = waiting[0].name
                raise ServiceError(f"{name} does not answer after {self.start_s:.0f} s; {tail(self.log_of(name))}")
            waiting = [service for service in waiting if not service.ready(self.log_of(service.name))]
            time.sleep(0.3 if waiting else 0)


_started: dict[Identity, subprocess.Popen[bytes]] = {}
"""Keeps the handles of this process's own children, so that they are reaped and never warned about."""


def tail(log: Path) -> str:
    """Name a log file and quote its end."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:] if log.exists() else []
    return f"see {log}" + (", which ends:\n  " + "\n  ".join(lines) if lines else "")


def _refuse_taken_port(service: Service) -> None:
    if service.port and is_taken(service.host, service.port):
        raise ServiceError(
            f"{service.name}: port {service.port} of {service.host} is taken by another program;"
            f" end that one or set {service.port_setting} to a free port"
        )


def is_taken(host: str, port: int) -> bool:
    """Tell whether a port cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False
