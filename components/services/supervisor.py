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


class Running(BaseModel):
    """One started service, as kept in the state file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    leader: Identity
    log: Path
    port: int = 0

    @property
    def is_alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self.leader.process() is not None


@dataclass(frozen=True)
class Service:
    """One process to run."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    """All of it: nothing is inherited."""
    ready: Callable[[Running], bool]
    """Whether it answers yet."""
    host: str = ""
    port: int = 0
    """Port that it will listen on; 0 for none."""
    port_setting: str = ""
    """The setting to change when the port is taken."""


class State(BaseModel):
    """The state file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    services: tuple[Running, ...] = ()
    """In the order in which they were first started: one that was started again keeps its place."""


class Supervisor:
    """The services of one home."""

    def __init__(self, home: Path, *, start_s: float = 180, grace_s: float = 10) -> None:
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

    def missing(self, services: Sequence[Service]) -> list[Service]:
        """Return those of the services that do not run."""
        alive = {running.name for running in self.running() if running.is_alive}
        return [service for service in services if service.name not in alive]

    def check_ports(self, services: Sequence[Service]) -> None:
        """Raise ServiceError naming the setting when a missing service's port is taken, or a running one listens on another than asked."""
        missing = {service.name for service in self.missing(services)}
        running = {one.name: one for one in self.running()}
        for service in services:
            if service.name not in missing and running[service.name].port != service.port:
                raise ServiceError(
                    f"{service.name} runs on port {running[service.name].port}, but {service.port_setting} is {service.port};"
                    f" run `esmm down` first, or set it back"
                )
            if service.name in missing and service.port and is_taken(service.host, service.port):
                raise ServiceError(
                    f"{service.name}: port {service.port} of {service.host} is taken by another program;"
                    f" end that one or set {service.port_setting} to a free port"
                )

    def launch(self, services: Sequence[Service]) -> None:
        """Start the services that do not run; none is waited for."""
        missing = self.missing(services)
        self.check_ports(services)
        for service in missing:
            self._launch(service)

    def wait(self, services: Sequence[Service]) -> None:
        """Wait until every service answers. Raises ServiceError naming the log when one ends or does not answer in time."""
        deadline = time.monotonic() + self.start_s
        waiting = list(services)
        while waiting:
            for dead in self.dead({service.name for service in services}):
                raise ServiceError(f"{dead.name} ended while starting; {tail(dead.log)}")
            if time.monotonic() > deadline:
                name = waiting[0].name
                raise ServiceError(f"{name} does not answer after {self.start_s:.0f} s; {tail(self.log_of(name))}")
            running = {one.name: one for one in self.running()}
            waiting = [service for service in waiting if not service.ready(running[service.name])]
            time.sleep(0.3 if waiting else 0)

    def stop(self, *, keep: Set[str] = frozenset()) -> list[str]:
        """Stop the services but those in `keep`, last started first; return the names of those that still ran. Safe to repeat."""
        stopped = []
        for running in reversed(self.running()):
            if running.name in keep:
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
        for crashed in self.dead({service.name}):
            end_session(crashed.leader, grace_s=self.grace_s)
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
        known = {running.name: running for running in self.running()}
        self._keep({**known, service.name: Running(name=service.name, leader=leader, log=log, port=service.port)}.values())
        _started[leader] = started

    def _keep(self, services: Iterable[Running]) -> None:
        write_text(self.folder / "state.json", State(services=tuple(services)).model_dump_json(indent=1) + "\n")


_started: dict[Identity, subprocess.Popen[bytes]] = {}
"""Keeps the handles of this process's own children, so that they are reaped and never warned about."""


def tail(log: Path) -> str:
    """Name a log file and quote its end."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:] if log.exists() else []
    return f"see {log}" + (", which ends:\n  " + "\n  ".join(lines) if lines else "")


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
