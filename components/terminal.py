"""What the command line reads and shows: days and instants, results, a progress bar."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import click


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


def show(result: Any, as_json: bool) -> None:
    """Print a result on stdout: as JSON, or a line a key."""
    if as_json:
        click.echo(json.dumps(result, indent=1, default=str))
    elif isinstance(result, dict):
        for key, value in result.items():
            shown = json.dumps(value, default=str) if isinstance(value, dict | list) else value
            click.echo(f"{key}: {shown}")
    else:
        click.echo(json.dumps(result, indent=1, default=str))


def show_table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Print some columns of the rows as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(
            *(", ".join(map(str, row[name])) if isinstance(row[name], list | tuple) else str(row[name] or "") for name in columns)
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)


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
