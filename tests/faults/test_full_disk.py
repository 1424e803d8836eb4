"""A full disk: the step says so, the old or the new day is readable, and with room the rerun gives the bytes of an undisturbed run."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults.homes import DAY, STEPS, Nursery, Stage, judge


def fill(stage: Stage, confined: Nursery, mounted: Path, copies: Path, free_kib: Iterable[int]) -> Counter[str]:
    """Run the step with so many KiB free, and again with room; returns what was left when it had too little."""
    disk = Path(f"/proc/{confined.process.pid}/root{mounted}")
    left = Counter[str]()

    def judge_disk() -> str:
        """Judge a copy: the libraries would follow the link under /proc to the folder that the tests see."""
        shutil.rmtree(copies / "home", ignore_errors=True)
        return judge(Path(shutil.copytree(disk / "home", copies / "home")), stage, confined.raw)

    for kib in free_kib:
        shutil.copytree(stage.before, disk / "home")
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - (kib << 10)))
        answer = confined.run(mounted / "home", [stage.step, str(DAY)])
        found = judge_disk()
        if answer.statuses == [0]:
            assert found == "new"
            left["enough room"] += 1
        else:
            assert answer.statuses == [1], answer.said
            assert "the disk is full" in answer.said
            assert "Traceback" not in answer.said
            left[found] += 1
        (disk / "ballast").unlink()
        again = confined.run(mounted / "home", [stage.step, str(DAY)])
        assert again.statuses == [0], again.said
        assert judge_disk() == "new"
        shutil.rmtree(disk / "home")
    return left


@pytest.mark.parametrize("step", STEPS)
def test_a_step_on_a_full_disk_says_so_and_loses_nothing(
    step: str, stages: dict[str, Stage], confined: Nursery, mounted: Path, tmp_path: Path
) -> None:
    left = fill(stages[step], confined, mounted, tmp_path, (0, 28))
    assert (left.total(), left["enough room"] < 2) == (2, True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_fills_up_at_any_write_loses_nothing(
    step: str, stages: dict[str, Stage], confined: Nursery, mounted: Path, tmp_path: Path
) -> None:
    left = fill(stages[step], confined, mounted, tmp_path, range(0, 160, 4))
    sys.stdout.write(f"\n{step}: 40 disks with 0 to 156 KiB free left {dict(left)}\n")
    assert left["old"]
