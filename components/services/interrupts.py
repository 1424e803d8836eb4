"""Ctrl-C, SIGTERM and a closed terminal, turned into exceptions while work is done and kept out while it is cleaned up."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupts_raise() -> Iterator[None]:
    """Raise SystemExit with the usual status, 128 + the signal's number, when this process is asked to stop."""
    with _handled(_raise):
        yield


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Let nothing but SIGKILL interrupt: for stopping what was started."""
    with _handled(_nothing):
        yield


def _raise(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    return None


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it is interrupted
        return
    before = {number: signal.signal(number, handler) for number in _STOPPING}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
