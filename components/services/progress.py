"""Watching a backfill until it ends: a live table on a terminal, a line per finished task elsewhere."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from components.errors import ServiceError
from components.services.metadata import AT_WORK, DONE, LOST, TaskState
from components.services.summary import STEPS

POLL_S = 1.0
STALL_S = 180.0
"""No task at work for this long while days are unfinished: Airflow will not go on by itself."""
_STYLES = {"success": "green", "running": "bold cyan", "failed": "bold red", "upstream_failed": "red", "up_for_retry": "yellow"}
_LOG_LINES = 6


class BackfillFailedError(ServiceError):
    """A task of the backfill failed, or nothing moves any more; the message has the task's last words and the repair."""


def watch(poll: Callable[[], Sequence[TaskState]], days: Sequence[date], *, logs: Path, console: Console, stall_s: float = STALL_S) -> None:
    """Show the backfill's tasks until all of `days` are done. `poll` returns them, and raises when a service has died.

    Raises BackfillFailedError when a task fails, or when none is at work for `stall_s` seconds.
    """
    seen: dict[tuple[date, str], str] = {}
    at_work = time.monotonic()
    with Live(console=console, refresh_per_second=4) if console.is_terminal else nullcontext() as live:
        while True:
            tasks = poll()
            for task in _moved(tasks, seen):
                at_work = time.monotonic()
                if not live and task.state in DONE | LOST | {"up_for_retry"}:
                    console.print(f"{task.day} {task.name}: {task.state}, {_seconds([task]):.1f} s", highlight=False, markup=False)
            if live:
                live.update(_table(tasks, days))
            if failed := next((task for task in tasks if task.state == "failed"), None):
                raise BackfillFailedError(f"{failed.name} of {failed.day} failed; its log ends:\n{last_words(log_of(failed, logs))}")
            if {task.day for task in tasks if task.run_state in DONE} >= set(days):
                return
            if any(task.state in AT_WORK for task in tasks):
                at_work = time.monotonic()
            if time.monotonic() - at_work > stall_s:
                raise BackfillFailedError(f"no task has been at work for {stall_s:.0f} s, and {_unfinished(tasks, days)} are not done")
            time.sleep(POLL_S)


def log_of(task: TaskState, logs: Path) -> Path:
    """Return the log file of a task's last attempt, as Airflow names it."""
    mapped = [f"map_index={task.index}"] if task.index >= 0 else []
    parts = ["dag_id=esmm_daily", f"run_id={task.run_id}", f"task_id={task.task}", *mapped, f"attempt={task.attempt}.log"]
    return logs.joinpath(*parts)


def last_words(log: Path) -> str:
    """Return the end of a task's log: its last steps, then each error with its message and where it was raised."""
    if not log.exists():
        return f"  (no log at {log})"
    said: list[str] = []
    errors: list[str] = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        event = _parsed(line)
        said.append(str(event.get("event", line)))
        errors.extend(_told(error) for error in event.get("error_detail") or [])
    steps = [line for line in dict.fromkeys(said) if not line.startswith("::")][-_LOG_LINES:]
    return "\n".join(f"  {line}" for line in [*steps, *errors, f"({log})"])


def _parsed(line: str) -> dict[str, Any]:
    """Return one line of Airflow's JSON log; nothing where it is other text."""
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) else {}


def _told(error: dict[str, Any]) -> str:
    frames = error.get("frames") or []
    place = f" (raised at {frames[-1]['filename']}:{frames[-1]['lineno']})" if frames else ""
    return f"{error['exc_type']}: {error['exc_value']}{place}"


def _moved(tasks: Sequence[TaskState], seen: dict[tuple[date, str], str]) -> list[TaskState]:
    """Return the tasks whose state is not the one seen before, and see them."""
    moved = [task for task in tasks if seen.get((task.day, task.name)) != task.state]
    seen.update({(task.day, task.name): task.state for task in moved})
    return moved


def _table(tasks: Sequence[TaskState], days: Sequence[date]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)  # fits 80 columns
    for column in ("day", *STEPS):
        table.add_column(column, justify="left" if column == "day" else "right", no_wrap=True)
    for day in days:
        table.add_row(str(day), *(_cell([task for task in tasks if task.day == day and task.task == step]) for step in STEPS))
    return table


def _cell(instances: Sequence[TaskState]) -> str:
    """Show one step of a day: its state's colour and its seconds so far."""
    states = [task.state for task in instances]
    state = next(
        (one for one in ("failed", "up_for_retry", "running", "queued", "scheduled", "") if one in states), states[0] if states else ""
    )
    if not state or state in {"queued", "scheduled"}:
        return f"[dim]{state or '-'}[/]"
    return f"[{_STYLES.get(state, 'default')}]{'retry ' if state == 'up_for_retry' else ''}{_seconds(instances):.0f}s[/]"


def _seconds(instances: Sequence[TaskState]) -> float:
    """Return the time from the first start to the last end, or to now."""
    started = [task.started_at for task in instances if task.started_at]
    if not started:
        return 0.0
    ended = [task.ended_at or datetime.now(UTC) for task in instances if task.started_at]
    return (max(ended) - min(started)).total_seconds()


def _unfinished(tasks: Sequence[TaskState], days: Sequence[date]) -> str:
    done = {task.day for task in tasks if task.run_state in DONE}
    return ", ".join(str(day) for day in days if day not in done)
