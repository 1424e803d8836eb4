"""Many processes that run one day at once end as one undisturbed run does."""

import shutil
from pathlib import Path

import pytest

from tests.faults.homes import DAY, Nursery, Stage, lake_of, prints


@pytest.mark.parametrize(("first", "second"), [("ingest", "label"), ("relabel", "aggregate")])
def test_processes_that_run_one_day_at_once_end_as_one_does(
    first: str, second: str, stages: dict[str, Stage], nursery: Nursery, tmp_path: Path
) -> None:
    home, copies = tmp_path / "home", 8
    shutil.copytree(stages[first].before, home)
    answer = nursery.run(home, [first, str(DAY)], [second, str(DAY)], copies=copies)
    assert answer.statuses == [0] * copies, answer.said
    assert prints(lake_of(home, nursery.raw)) == stages[second].new
