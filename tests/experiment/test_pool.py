"""Runs side by side."""

import json
import os
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from components.experiment.pool import each
from components.experiment.runs import Plan


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that are started find the functions of this module."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


@pytest.mark.usefixtures("importable")
def test_work_is_spread_over_processes_of_one_thread(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("POLARS_MAX_THREADS", raising=False)
    assert sorted(each(partial(note_process, plan=plan), [1, 2])) == [1, 2]
    told = [json.loads((tmp_path / str(one)).read_text()) for one in (1, 2)]
    assert all(pid != os.getpid() and threads == 1 for pid, threads in told)
    assert "POLARS_MAX_THREADS" not in os.environ


def note_process(one: int, plan: Plan) -> None:
    (plan.folder / str(one)).write_text(json.dumps([os.getpid(), pl.thread_pool_size()]))


@pytest.mark.usefixtures("importable")
def test_a_failing_run_ends_the_experiment_with_its_error():
    with pytest.raises(ValueError, match="no run 3"):
        list(each(fail, [3]))


def fail(one: int) -> None:
    raise ValueError(f"no run {one}")
