"""Starting, waiting for and stopping services, through cheap stand-ins: small Python programs that behave or misbehave."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from components.errors import ServiceError
from components.services.processes import Identity, end_session, session_of
from components.services.supervisor import Running, Service, Supervisor

QUIET = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
PARENT = (
    "import subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-c', 'import os, time; os.setpgrp(); time.sleep(600)']); "
    "print('up', flush=True); time.sleep(600)"
)
BROKEN = "print('no such table: dag_run', flush=True); raise SystemExit(3)"
MUTE = "import time; time.sleep(600)"


def is_up(running: Running) -> bool:
    return "up" in running.log.read_text(encoding="utf-8")


def program(name: str, source: str) -> Service:
    return Service(name, (sys.executable, "-S", "-c", source), dict(os.environ), is_up)


@pytest.fixture
def supervisor(tmp_path: Path):
    one = Supervisor(tmp_path, start_s=10, grace_s=1)
    yield one
    one.stop()


def start(supervisor: Supervisor, *services: Service) -> dict[str, psutil.Process]:
    supervisor.launch(services)
    supervisor.wait(services)
    return {running.name: psutil.Process(running.leader.pid) for running in supervisor.running()}


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_until(condition, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_services_start_answer_and_stop_last_first(supervisor):
    processes = start(supervisor, program("one", QUIET), program("two", QUIET))
    assert supervisor.stop() == ["two", "one"]
    assert all(ended(process) for process in processes.values())
    assert supervisor.running() == ()


def test_stopping_twice_or_with_nothing_started_is_fine(supervisor):
    assert supervisor.stop() == []
    start(supervisor, program("one", QUIET))
    assert supervisor.stop() == ["one"]
    assert supervisor.stop() == []


def test_starting_again_keeps_what_runs_and_replaces_what_was_killed(supervisor):
    services = (program("one", QUIET), program("two", QUIET))
    before = start(supervisor, *services)
    before["one"].kill()
    wait_until(lambda: ended(before["one"]))
    after = start(supervisor, *services)
    assert after["two"].pid == before["two"].pid
    assert after["one"].pid != before["one"].pid
    assert [running.name for running in supervisor.running()] == ["one", "two"]


def test_a_service_that_ends_while_starting_is_an_error_with_its_log(supervisor):
    services = (program("good", QUIET), program("bad", BROKEN))
    supervisor.launch(services)
    with pytest.raises(ServiceError, match=r"(?s)bad ended while starting; see .*bad\.log.*no such table: dag_run"):
        supervisor.wait(services)
    assert supervisor.stop() == ["good"]


def test_a_service_that_never_answers_is_an_error_with_its_log(tmp_path):
    supervisor = Supervisor(tmp_path, start_s=0.2, grace_s=1)
    services = (program("mute", MUTE),)
    supervisor.launch(services)
    with pytest.raises(ServiceError, match=r"mute does not answer after 0 s; see .*mute\.log"):
        supervisor.wait(services)
    assert supervisor.stop() == ["mute"]


def test_a_taken_port_is_named_with_the_setting_before_anything_starts(supervisor):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        web = Service("web", (sys.executable, "-c", QUIET), {}, is_up, "127.0.0.1", port, "services.airflow_port")
        with pytest.raises(ServiceError, match=f"web: port {port} of 127.0.0.1 is taken .* set services.airflow_port to a free port"):
            supervisor.launch([program("one", QUIET), web])
    assert supervisor.running() == ()


def test_a_service_that_runs_on_another_port_than_asked_is_not_waited_for(supervisor):
    def web(port: int) -> Service:
        return Service("web", (sys.executable, "-S", "-c", QUIET), dict(os.environ), is_up, "127.0.0.1", port, "services.mlflow_port")

    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        ports = first.getsockname()[1], second.getsockname()[1]
    start(supervisor, web(ports[0]))
    with pytest.raises(ServiceError, match=f"web runs on port {ports[0]}, but services.mlflow_port is {ports[1]}; run `esmm down` first"):
        supervisor.launch([web(ports[1])])


def test_services_that_ran_before_are_kept_when_the_others_are_stopped(supervisor):
    processes = start(supervisor, program("one", QUIET), program("two", QUIET))
    assert supervisor.stop(keep={"one", "two"}) == []
    assert supervisor.stop(keep={"one"}) == ["two"]
    assert not ended(processes["one"])


def test_a_child_in_a_group_of_its_own_is_stopped_too(supervisor):
    parent = start(supervisor, program("parent", PARENT))["parent"]
    (child,) = parent.children()
    supervisor.stop()
    assert ended(parent)
    assert ended(child)


def test_a_child_that_outlived_its_killed_parent_is_stopped_too(supervisor):
    parent = start(supervisor, program("parent", PARENT))["parent"]
    (child,) = parent.children()
    parent.kill()
    wait_until(lambda: ended(parent))
    assert not ended(child)
    assert supervisor.stop() == []
    assert ended(child)


def test_a_service_deaf_to_sigterm_is_killed_after_the_grace(supervisor):
    process = start(supervisor, program("stubborn", STUBBORN))["stubborn"]
    supervisor.stop()
    assert ended(process)


def test_a_half_started_home_can_be_stopped_by_another_process(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from components.services.supervisor import Service, Supervisor; "
        f"one = Service('one', (sys.executable, '-c', {QUIET!r}), dict(os.environ), lambda running: False); "
        f"Supervisor(Path({str(tmp_path)!r})).launch([one]); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    supervisor = Supervisor(tmp_path, grace_s=1)
    process = psutil.Process(supervisor.running()[0].leader.pid)
    assert not ended(process)
    assert supervisor.stop() == ["one"]
    assert ended(process)


def test_a_pid_given_to_another_program_is_neither_alive_nor_stopped():
    other = subprocess.Popen([sys.executable, "-c", MUTE], start_new_session=True)
    try:
        ours = Identity(pid=other.pid, started=Identity.of(other.pid).started - 60)
        assert ours.process() is None
        assert session_of(ours) == []
        end_session(ours, grace_s=0.1)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_log_of_the_start_before_is_kept_beside(supervisor):
    start(supervisor, program("one", QUIET))
    supervisor.stop()
    start(supervisor, program("one", QUIET))
    assert supervisor.log_of("one").read_text() == "up\n"
    assert supervisor.log_of("one").with_suffix(".log.1").read_text() == "up\n"


def test_a_port_is_free_once_its_server_has_stopped(supervisor):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1")

    def answers(_running: Running) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=1) as reply:
                return reply.status == 200
        except OSError:
            return False

    web = Service("web", command, dict(os.environ), answers, "127.0.0.1", port, "services.mlflow_port")
    start(supervisor, web)
    supervisor.stop()
    start(supervisor, web)
