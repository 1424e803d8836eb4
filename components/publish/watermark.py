"""Which day the online store holds, and the lock under which it changes.

`day` is the newest day wholly written; `writing` the day whose rows began to be written and have not all arrived.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from components.publish.views import online_folder
from components.records import read_object, write_text


@dataclass(frozen=True)
class Watermark:
    """The online store's day. No clock time: the same publishes leave the same bytes."""

    day: date | None = None
    writing: date | None = None

    @property
    def newest(self) -> date | None:
        """The newest day of which any row may be online."""
        return max(filter(None, (self.day, self.writing)), default=None)


def read_watermark(root: Path) -> Watermark:
    """Return the watermark of the store under one home; an empty one where nothing was published."""
    try:
        found = read_object(_path(root), repair="remove it, then publish the newest day again before any older one")
    except FileNotFoundError:
        return Watermark()
    return Watermark(**{name: date.fromisoformat(day) for name, day in found.items() if day})


def write_watermark(root: Path, mark: Watermark) -> None:
    """Replace the watermark by one rename."""
    days = {"day": mark.day, "writing": mark.writing}
    write_text(_path(root), json.dumps({name: day and day.isoformat() for name, day in days.items()}, sort_keys=True) + "\n")


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the publishing lock, waiting for whoever has it; the kernel lets go of it when a process dies."""
    path = online_folder(root) / "publish.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _path(root: Path) -> Path:
    return online_folder(root) / "watermark.json"
