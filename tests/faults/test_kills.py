"""kill -9 at any moment: each day is the old or the new one, whole, and a rerun gives the bytes of an undisturbed run."""

import random
import shutil
import signal
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from tests.faults.homes import DAY, STEPS, Nursery, Stage, judge, lake_of, prints

SPREAD = 1.5
"""Kills are drawn over this many times what the undisturbed run took: on busy cores the moments after a short step's commit come late."""
SAMPLE = {"ingest": 5, "label": 3, "relabel": 3, "aggregate": 4}
LONG = {"ingest": 70, "label": 50, "relabel": 50, "aggregate": 70}


def disturb(stage: Stage, kills: int, nursery: Nursery, home: Path) -> Counter[str]:
    """Kill the step at random moments of its run, each time from the same home, and run it again; returns what the kills left."""
    generator, left = random.Random(f"{stage.step} {kills}"), Counter[str]()
    while left.total() - left["ended before"] < kills:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(stage.before, home)
        answer = nursery.run(home, [stage.step, str(DAY)], kill_after_s=generator.uniform(0, SPREAD * stage.seconds))
        found = judge(home, stage, nursery.raw)
        left[found if answer.statuses == [-signal.SIGKILL] else "ended before"] += 1
        assert answer.statuses in ([-signal.SIGKILL], [0]), answer.said
        again = nursery.run(home, [stage.step, str(DAY)])
        assert again.statuses == [0], again.said
        assert judge(home, stage, nursery.raw) == "new"
        assert not list(home.glob("scratch/*"))
    lake = lake_of(home, nursery.raw)
    lake.vacuum(timedelta(0))
    assert prints(lake) == stage.new
    return left


@pytest.mark.parametrize("step", STEPS)
def test_a_step_killed_at_random_moments_leaves_whole_days_and_runs_again(
    step: str, stages: dict[str, Stage], nursery: Nursery, tmp_path: Path
) -> None:
    left = disturb(stages[step], SAMPLE[step], nursery, tmp_path / "home")
    assert left["old"] + left["mixture"] + left["new"] == SAMPLE[step]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", STEPS)
def test_hundreds_of_kills_leave_whole_days(step: str, stages: dict[str, Stage], nursery: Nursery, tmp_path: Path) -> None:
    left = disturb(stages[step], LONG[step], nursery, tmp_path / "home")
    sys.stdout.write(f"\n{step}: {LONG[step]} kills over {stages[step].seconds:.2f} s left {dict(left)}\n")
    assert left["old"]
    assert left["mixture"] + left["new"]
