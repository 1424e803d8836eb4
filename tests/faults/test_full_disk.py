"""A full disk: the step says so, the old or the new day is readable, and with room the rerun gives the bytes of an undisturbed run."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.faults.homes import DAY, STEPS, Nursery, Stage, judge

SIZE = "size=32m"
OWN_MOUNTS = ("/usr/bin/unshare", "-rm")


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder on which this user may mount a tmpfs, in a name space of its own."""
    folder = tmp_path_factory.mktemp("disk")
    if not Path(OWN_MOUNTS[0]).exists():
        pytest.skip(f"no tmpfs may be mounted here: {OWN_MOUNTS[0]} is missing")
    tried = subprocess.run(
        [*OWN_MOUNTS, "/bin/mount", "-t", "tmpfs", "-o", SIZE, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"no tmpfs may be mounted here: {tried.stderr.strip()}")
    return folder


@pytest.fixture(scope="module")
def confined(nursery: Nursery, mounted: Path) -> Iterator[Nursery]:
    """Return a nursery that sees a small disk at that folder."""
    mount = f'/bin/mount -t tmpfs -o {SIZE} tmpfs "{mounted}" && exec "$@"'
    confined = Nursery(nursery.raw, within=(*OWN_MOUNTS, "/bin/sh", "-c", mount, "sh"))
    yield confined
    confined.close()


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
