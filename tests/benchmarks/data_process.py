"""Work in a process of its own, so that its peak memory is its own: seconds and bytes of one call."""

import importlib
import os
import pkgutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What one call took."""

    seconds: float
    """Of the call: without the interpreter's start and without `imports_s`."""
    cpu_s: float
    """Of all its threads: what is comparable where other work shares the cores."""
    imports_s: float
    peak_bytes: int
    """Resident at most, interpreter and libraries included."""
    result: Any


def in_fresh_process(work: Callable[[], Any], *, room: str = "") -> Cost:
    """Call `work`, a partial of a module's function, in a new interpreter that has imported the package `room`; raises what it raises."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, work, room).result()


def _measure(work: Callable[[], Any], room: str) -> Cost:
    started = time.perf_counter()
    if room:
        for module in pkgutil.iter_modules(importlib.import_module(room).__path__, f"{room}."):
            importlib.import_module(module.name)
    imports_s = time.perf_counter() - started
    os.sync()  # what was written before is not this call's to wait for
    called, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Cost(time.perf_counter() - called, time.process_time() - cpu, imports_s, _peak_bytes(), result)


def _peak_bytes() -> int:
    """Read this program's high-water mark; getrusage would count the parent's from before the new program was loaded."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
