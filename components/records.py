"""What each step of a day recorded: small JSON files under `<home>/runs/day=D/`, written whole or not at all.

They are how a step knows that its input was made, and what the report and the demo's table are drawn from.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from components.errors import DataError, MissingInputError
from components.settings import Settings

log = logging.getLogger("esmm")
Record = dict[str, Any]


def write_text(path: Path, text: str) -> None:
    """Write a file aside and publish it by one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def read_object(path: Path, *, repair: str) -> Record:
    """Read a JSON object that `write_text` wrote; raises DataError naming the file and the repair where it holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: expected a JSON object, found {error}; {repair}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(found).__name__}; {repair}")
    return found


class Records:
    """The records of all days under one home."""

    def __init__(self, home: Path) -> None:
        """Name the place; nothing is created yet."""
        self.folder = home / "runs"

    def path(self, day: date, step: str) -> Path:
        """Return the file of one step of one day."""
        return self.folder / f"day={day}" / f"{step}.json"

    def write(self, day: date, step: str, record: Record) -> Record:
        """Keep a step's record, replacing an earlier one; returns it."""
        write_text(self.path(day, step), json.dumps(record, indent=1, sort_keys=True, default=str) + "\n")
        return record

    def read(self, day: date, step: str) -> Record | None:
        """Return a step's record, or None where the step has not run."""
        try:
            return read_object(self.path(day, step), repair=f"run `{_command(day, step)}` again")
        except FileNotFoundError:
            return None

    def remove(self, day: date, step: str) -> None:
        """Forget that a step has run."""
        self.path(day, step).unlink(missing_ok=True)

    def require(self, day: date, step: str) -> Record:
        """Return a step's record; raises MissingInputError with the command that makes it."""
        record = self.read(day, step)
        if record is None:
            raise MissingInputError(f"{self.path(day, step)}: {step} of {day} has not run; run `{_command(day, step)}` first")
        return record

    def read_day(self, day: date) -> dict[str, Record]:
        """Return all records of a day, step -> record."""
        found = ((path.stem, self.read(day, path.stem)) for path in sorted(self.path(day, "x").parent.glob("*.json")))
        return {step: record for step, record in found if record is not None}

    def days(self) -> list[date]:
        """Return the days with any record, ascending."""
        return sorted(date.fromisoformat(path.name.removeprefix("day=")) for path in self.folder.glob("day=[0-9]*"))


def _command(day: date, step: str) -> str:
    return f"esmm {step.split('-', maxsplit=1)[0]} {day}"


@contextmanager
def recorded(day: date, name: str, settings: Settings) -> Iterator[Record]:
    """Time a step, and keep and log its record once its body is done. A failure leaves no record, not even of an earlier run."""
    started = time.perf_counter()
    record: Record = {"day": str(day), "step": name}
    try:
        yield record
    except Exception:
        Records(settings.root).remove(day, name)
        raise
    record["seconds"] = round(time.perf_counter() - started, 2)
    Records(settings.root).write(day, name, record)
    numbers = {key: value for key, value in record.items() if isinstance(value, int | str) and key not in ("day", "step", "seconds")}
    log.info("%s %s: %s, %.1f s", name, day, ", ".join(f"{key} {value}" for key, value in numbers.items()), record["seconds"])
