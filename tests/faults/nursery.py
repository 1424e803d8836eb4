"""Forks the command line for tests that kill it: imports all it needs once, and runs no query before it forks.

Reads a request a line (JSON), answers with a line: the exit status of each copy (negative: the signal) and the seconds they took.
"""

import importlib
import json
import os
import pkgutil
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

ROOMS = ("ingest", "label", "aggregate", "train")


def import_rooms() -> None:
    importlib.import_module("components.steps")
    for room in ROOMS:
        package = importlib.import_module(f"components.{room}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    threads = {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
    assert threads <= {"python", "python3", "jemalloc_bg_thd", "polars-ooc-clea"}, f"a fork would lose {threads}"


def be(commands: list[list[str]], environment: dict[str, str], log: str) -> None:
    """Be the command line, in a child, one command after the other; never returns."""
    from components.cli import main

    status: Any = 70
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.update(environment)
        for command in commands:
            main(command)
        status = 0
    except SystemExit as exit_:
        status = exit_.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Fork the copies, kill each with SIGKILL when its time is up, if it has one, and wait for all.

    The time counts from the start, or from when the home has a path that `kill_from` matches.
    """
    first = started = time.perf_counter()
    children = []
    for _ in range(request["copies"]):
        child = os.fork()
        if not child:
            be(request["commands"], request["environment"], request["log"])
        children.append(child)
    for child in children if request["kill_after_s"] is not None else []:
        ended, home = os.pidfd_open(child), Path(request["environment"]["ESMM_HOME"])
        while request["kill_from"] and not any(home.glob(request["kill_from"])) and not select.select([ended], [], [], 0.001)[0]:
            started = time.perf_counter()
        left = started + request["kill_after_s"] - time.perf_counter()
        if not select.select([ended], [], [], max(0, left))[0]:
            os.kill(child, signal.SIGKILL)
        os.close(ended)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return {"statuses": statuses, "seconds": time.perf_counter() - first}


if __name__ == "__main__":
    import_rooms()
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(serve(json.loads(line))) + "\n")
        sys.stdout.flush()
