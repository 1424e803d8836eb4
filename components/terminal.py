"""What the command line reads and shows: days, instants and options, results, failures, a progress bar."""

import errno
import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from components.errors import DataError, ServiceError, SettingsError
from components.profile import KINDS

_FULL = ("No space left on device", "os error 28", "Disk quota exceeded", "database or disk is full")
"""As the operating system, Polars and delta-rs, and SQLite say it."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
Command = Callable[..., Any]
kind_option = click.option("--kind", type=click.Choice(KINDS), help="One kind of log only.")


class Day(click.ParamType[date]):
    """A UTC day, YYYY-MM-DD."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Parse a day or fail with status 2."""
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"expected a UTC day such as 2017-11-25, found {value!r}", param, ctx)


class Instant(click.ParamType[datetime]):
    """A UTC instant, ISO 8601."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse an instant or fail with status 2; one without an offset is UTC."""
        try:
            instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"expected an instant such as 2017-11-26T00:00Z, found {value!r}", param, ctx)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


class Shares(click.ParamType[list[float]]):
    """Numbers above 0 and at most 1, separated by commas."""

    name = "shares"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[float]:
        """Parse the numbers or fail with status 2."""
        try:
            found = value if isinstance(value, list) else [float(part) for part in value.split(",")]
        except ValueError:
            found = []
        if not found or not all(0 < share <= 1 for share in found):
            self.fail(f"expected numbers above 0 and at most 1 such as 0.05,0.2,1, found {value!r}", param, ctx)
        return found


def shared(command: Command) -> Command:
    """Add the options that every command has."""
    for option in (
        click.option("--settings", "path", type=click.Path(path_type=Path), help="Settings file (TOML); else ESMM_SETTINGS."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    ):
        command = option(command)
    return command


def escaped(text: str, *, keep: str = "") -> str:
    """Return text with control and other unprintable characters as Python escapes, except those to keep: logs may hold any."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in keep else repr(letter)[1:-1] for letter in text)


def shortened(text: str, letters: int = 100) -> str:
    """Return text escaped and cut for a terminal."""
    shown = escaped(text[: letters + 1])
    return shown if len(shown) <= letters else f"{shown[: letters - 3]}..."


def failure(error: BaseException) -> tuple[int, str]:
    """Return the exit status of an error that a person can mend, and what to tell; status 0 where it is a fault of the program."""
    if isinstance(error, SettingsError):
        return 2, f"esmm: {error}"
    if isinstance(error, DataError | ServiceError):
        return 1, f"{type(error).__name__}: {error}"
    if _disk_is_full(error):
        said = shortened(" ".join(_COLOUR.sub("", str(error)).split()), 200)
        move = "make room, then run the same command again"
        return 1, f"the disk is full: expected free space under ESMM_HOME and lake.uri, found none ({said}); {move}"
    if isinstance(error, OSError) and error.filename is not None:  # about a file of the user's
        return 1, f"{type(error).__name__}: {error.filename}: {error.strerror}; check the path and its rights"
    return 0, ""


def _disk_is_full(error: BaseException | None) -> bool:
    """Tell whether an error, or what it came from, says that no space is left; each library has a type of its own for that."""
    while error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(said in str(error) for said in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


def show(result: Any, as_json: bool) -> None:
    """Print a result on stdout: as JSON, or a line a key."""
    if as_json:
        click.echo(json.dumps(result, indent=1, default=str))
    elif isinstance(result, dict):
        for key, value in result.items():
            shown = json.dumps(value, default=str) if isinstance(value, dict | list) else value
            click.echo(f"{key}: {shown}")
    else:
        click.echo(result if isinstance(result, str) else json.dumps(result, indent=1, default=str))


def show_tables(result: Any, tables: dict[tuple[str, ...], list[dict[str, Any]]], as_json: bool) -> None:
    """Print a result as JSON, or as one table for each tuple of columns."""
    if as_json:
        show(result, as_json)
        return
    for columns, rows in tables.items():
        _show_table(columns, rows)


def _show_table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Print some columns of the rows as a table, long text cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(_cell(row[name])) for name in columns))  # Text: not read as markup
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _cell(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return shortened(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or ""))


class progress:  # noqa: N801 - reads as a function where it is used
    """A progress bar on stderr, counting rows; silent where stderr is not a terminal."""

    def __init__(self, name: str) -> None:
        """Name what is counted."""
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f} rows"), TimeElapsedColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
        self.task = self.bar.add_task(name, total=None)

    def __enter__(self) -> Callable[[int], None]:
        """Show the bar; returns what is to be called with the rows done."""
        self.bar.start()
        return lambda rows: self.bar.update(self.task, completed=rows)

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self.bar.stop()
