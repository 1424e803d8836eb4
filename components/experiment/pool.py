"""Runs side by side: one process for each core, each of one torch and one Polars thread, that ends when its parent is killed."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

Asked = TypeVar("Asked")
_THREADS = "POLARS_MAX_THREADS"


def each(work: Callable[[Asked], None], asked: Sequence[Asked]) -> Iterator[Asked]:
    """Do the work for each that is asked, in any order; yields those done. Raises what the first to fail raises, and starts no more."""
    if not asked:
        return
    cores = len(os.sched_getaffinity(0))
    with _one_thread(), ProcessPoolExecutor(min(cores, len(asked)), get_context("spawn"), _end_with_parent) as pool:
        started = {pool.submit(work, one): one for one in asked}
        try:
            for done in as_completed(started):
                done.result()
                yield started[done]
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes started meanwhile run Polars on one thread."""
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_wait_for, args=(parent.sentinel,), daemon=True).start()


def _wait_for(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
