"""What each step of a day recorded: small JSON files under `<home>/runs/day=D/`, written whole or not at all.

They are how a step knows that its input was made, and what the report and the demo's table are drawn from.
"""

import json
import os
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from components.errors import MissingInputError

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
            found: Record = json.loads(self.path(day, step).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return found

    def require(self, day: date, step: str) -> Record:
        """Return a step's record; raises MissingInputError with the command that makes it."""
        record = self.read(day, step)
        if record is None:
            command = f"esmm {step.split('-', maxsplit=1)[0]} {day}"
            raise MissingInputError(f"{self.path(day, step)}: {step} of {day} has not run; run `{command}` first")
        return record

    def read_day(self, day: date) -> dict[str, Record]:
        """Return all records of a day, step -> record."""
        return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.path(day, "x").parent.glob("*.json"))}

    def days(self) -> list[date]:
        """Return the days with any record, ascending."""
        return sorted(date.fromisoformat(path.name.removeprefix("day=")) for path in self.folder.glob("day=*"))
