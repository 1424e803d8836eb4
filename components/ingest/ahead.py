"""Work on several items at once, in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import polars as pl

Item = TypeVar("Item")
Result = TypeVar("Result")
_MOST = 4


def work_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the function's result for each item, in order, computed in at most 4 threads (no more than Polars has) ahead of the reader.

    Polars and the decompressors let other threads run while they work. An exception is raised when its turn comes: after the results of
    what came before.
    """
    workers = min(_MOST, pl.thread_pool_size())
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in _until_fault(items, pending):
                pending.append(pool.submit(function, item))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _until_fault(items: Iterable[Item], pending: deque[Future[Result]]) -> Iterator[Item]:
    """Yield the items; should one not be had, leave its exception in `pending`, whose reader raises it in its turn."""
    try:
        yield from items
    except Exception as fault:
        pending.append(Future())
        pending[-1].set_exception(fault)


def one_ahead(items: Iterator[Item]) -> Generator[Item]:
    """Yield the items, each made in a thread while the reader is busy with the one before."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(next, items, None)
        while (item := future.result()) is not None:
            future = pool.submit(next, items, None)
            yield item
