"""Work done ahead: the items that one thread will need next are made by another meanwhile."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], *, depth: int = 1) -> Generator[Item]:
    """Yield the items in their order, as many as `depth` of them made, or being made, before they are asked for, by one other thread.

    What making one raises is raised where it is asked for. Once the generator is closed the thread has ended; no further item was begun.
    """
    source, done = iter(items), object()
    worker = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    made: deque[Future[Item | object]] = deque(worker.submit(next, source, done) for _ in range(depth))
    try:
        while (item := made.popleft().result()) is not done:
            made.append(worker.submit(next, source, done))
            yield item  # type: ignore[misc]  # not `done`
            del item  # or it lives until the next one is there
    finally:
        worker.shutdown(cancel_futures=True)
