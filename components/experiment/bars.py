"""Progress bars of an experiment on stderr; silent where that is no terminal, since the log tells each part."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each name; yields what is to be called with a name, how many of its parts are done, and of how many."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    known: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as shown:

        def advance(name: str, done: int, total: int) -> None:
            if name not in known:
                known[name] = shown.add_task(name, total=total)
            shown.update(known[name], completed=done)

        yield advance
