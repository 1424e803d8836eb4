"""Watching a backfill: when it is done, failed or stuck, and what is said. The polls are literal."""

import io
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from components.services import progress
from components.services.metadata import TaskState
from components.services.progress import BackfillFailedError, last_words, log_of, watch

FIRST, SECOND = date(2024, 5, 1), date(2024, 5, 2)
NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(progress, "POLL_S", 0.01)


def task(day: date, name: str, state: str, *, index: int = -1, run: str = "running") -> TaskState:
    started = NOON if state else None
    ended = NOON + timedelta(seconds=5) if state in {"success", "failed"} else None
    return TaskState(day, f"backfill__{day + timedelta(days=1)}", run, name, index, state, 1, started, ended)


def say(polls: list[list[TaskState]], days: list[date], *, logs: Path = Path("/none"), stall_s: float = 60, terminal: bool = False) -> str:
    screen = io.StringIO()
    remaining = iter(polls)
    last = polls[-1]
    watch(lambda: next(remaining, last), days, logs=logs, console=Console(file=screen, width=120, force_terminal=terminal), stall_s=stall_s)
    return screen.getvalue()


def test_each_task_is_reported_once_when_it_ends_and_the_watch_ends_with_the_last_day():
    said = say(
        [
            [task(FIRST, "label", "running"), task(SECOND, "label", "")],
            [task(FIRST, "label", "success"), task(SECOND, "label", "queued")],
            [task(FIRST, "label", "success", run="success"), task(SECOND, "label", "success", run="success")],
        ],
        [FIRST, SECOND],
    )
    assert said.splitlines() == ["2024-05-01 label: success, 5.0 s", "2024-05-02 label: success, 5.0 s"]


def test_a_day_whose_run_was_not_made_yet_is_waited_for():
    done = task(FIRST, "label", "success", run="success")
    assert len(say([[], [done], [done, task(SECOND, "label", "success", run="success")]], [FIRST, SECOND]).splitlines()) == 2


def test_a_failed_task_stops_the_watch_with_the_error_of_its_log(tmp_path):
    failed = task(SECOND, "ingest", "failed", index=2)
    log = log_of(failed, tmp_path)
    log.parent.mkdir(parents=True)
    frame = {"filename": "/x/suites.py", "lineno": 7, "name": "check"}
    error = {"exc_type": "ValidationFailedError", "exc_value": "CTR 0.9 is outside 0.0005..0.5", "frames": [frame]}
    events = [
        {"event": "read 3 files"},
        {"event": "::group::Post Execute"},
        {"event": "Task failed with exception", "error_detail": [error]},
    ]
    log.write_text("plain text\n" + "".join(json.dumps(event) + "\n" for event in events))
    with pytest.raises(BackfillFailedError) as caught:
        say([[task(FIRST, "label", "running"), failed]], [FIRST, SECOND], logs=tmp_path)
    assert str(caught.value).splitlines() == [
        "ingest[2] of 2024-05-02 failed; its log ends:",
        "  plain text",
        "  read 3 files",
        "  Task failed with exception",
        "  ValidationFailedError: CTR 0.9 is outside 0.0005..0.5 (raised at /x/suites.py:7)",
        f"  ({log})",
    ]


def test_nothing_at_work_for_long_is_a_stall_that_names_the_days():
    waiting = [task(FIRST, "train", "success", run="success"), task(SECOND, "train", "")]
    with pytest.raises(BackfillFailedError, match="no task has been at work for 0 s, and 2024-05-02 are not done"):
        say([waiting], [FIRST, SECOND], stall_s=0.05)


@pytest.mark.parametrize("state", ["running", "queued", "up_for_retry"])
def test_a_long_task_or_a_retry_to_come_is_no_stall(state):
    busy = [[task(FIRST, "train", state)]] * 20
    assert say([*busy, [task(FIRST, "train", "success", run="success")]], [FIRST], stall_s=0.05)


def test_a_terminal_sees_a_table_of_days_and_steps():
    said = say([[task(FIRST, "label", "success", run="success"), task(FIRST, "train", "", run="success")]], [FIRST], terminal=True)
    assert all(word in said for word in ("2024-05-01", "label", "train", "5s"))


def test_a_missing_log_is_said_so(tmp_path):
    assert last_words(tmp_path / "attempt=1.log") == f"  (no log at {tmp_path / 'attempt=1.log'})"
