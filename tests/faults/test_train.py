"""Training a day, killed or on a full disk: no checkpoint or the right one, the parent untouched, and a rerun gives the same bytes."""

import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from components.checkpoints import CheckpointStore, Manifest
from components.records import Records
from components.tables import FEATURES
from tests.conftest import FIRST
from tests.faults.homes import DAY, STEPS, Nursery, lake_of, run_one

SPREAD = 1.2
"""Kills are drawn over this many times what the undisturbed run took."""
SAVED_S = 0.1
"""From the first file of a checkpoint to the record of the day."""
TRAIN = ["train", str(DAY)]


@dataclass(frozen=True)
class Trained:
    """A home before DAY is trained, and its checkpoints afterwards, those that DAY's is trained from included."""

    before: Path
    after: Path
    files: dict[str, bytes]
    parent: str
    challenger: str
    seconds: float


@pytest.fixture(scope="module")
def trained(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("train")
    home, before = folder / "home", folder / "before"
    for day in (FIRST, DAY):
        for step in STEPS:
            run_one(nursery, home, step, day, logs="first")
        if day == DAY:
            shutil.copytree(home, before)
        seconds = run_one(nursery, home, "train", day, logs="first")
    parent, challenger = (CheckpointStore(home).head(day) for day in (FIRST, DAY))
    assert parent
    assert challenger
    return Trained(before, home, files_of(home), parent, challenger, seconds)


def files_of(home: Path) -> dict[str, bytes]:
    """Read the files of the store, but not those that are hidden: what is being written, or was when it was killed."""
    store = CheckpointStore(home).folder
    paths = {str(path.relative_to(store)): path for path in store.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if not any(part.startswith(".") for part in Path(name).parts)}


def judge(home: Path, trained: Trained) -> str:
    """Say how far a disturbed run came; fails where a file is neither as before nor as it should be."""
    store, found = CheckpointStore(home), files_of(home)
    assert found.items() <= trained.files.items()
    assert {name for name in trained.files if trained.parent in name} <= found.keys()
    assert store.head(FIRST) == trained.parent
    record = Records(home).read(DAY, "train")
    if store.head(DAY) is None:
        assert record is None
        return "published" if (store.folder / trained.challenger).exists() else "nothing"
    store.load(trained.challenger)
    assert store.head(DAY) == trained.challenger
    assert record is None or record["version"] == trained.challenger
    return "recorded" if record else "head"


def run_again(nursery: Nursery, home: Path) -> None:
    again = nursery.run(home, TRAIN, logs="first")
    assert again.statuses == [0], again.said


def is_finished(home: Path, trained: Trained) -> bool:
    """Return whether all is there, and nothing else but the lock."""
    store = CheckpointStore(home).folder
    hidden = [path.name for path in (*store.glob(".*"), *(store / "heads").glob(".*"))]
    return (judge(home, trained), hidden, files_of(home)) == ("recorded", [".lock"], trained.files)


def kill(trained: Trained, kills: int, nursery: Nursery, home: Path) -> Counter[str]:
    """Kill training at random moments, each time from the same home, and run it again; returns how far the killed runs came.

    Every other time it is killed while it saves, which takes a twentieth of its time, or soon after.
    """
    generator, left = random.Random(kills), Counter[str]()
    while left.total() - left["ended before"] < kills:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(trained.before, home)
        start, spread_s = (None, SPREAD * trained.seconds) if left.total() % 2 else ("checkpoints/.aside-*", SAVED_S)
        answer = nursery.run(home, TRAIN, logs="first", kill_after_s=generator.uniform(0, spread_s), kill_from=start)
        assert answer.statuses in ([-signal.SIGKILL], [0]), answer.said
        found = judge(home, trained)
        left[found if answer.statuses == [-signal.SIGKILL] else "ended before"] += 1
        run_again(nursery, home)
        assert is_finished(home, trained)
    return left


def fill(trained: Trained, confined: Nursery, mounted: Path, copy: Path, free_kib: Iterable[int]) -> Counter[str]:
    """Train with so many KiB free, and again with room; returns how far it came."""
    disk, left = Path(f"/proc/{confined.process.pid}/root{mounted}"), Counter[str]()

    def take() -> Path:
        shutil.rmtree(copy, ignore_errors=True)
        return Path(shutil.copytree(disk / "home", copy))

    for kib in free_kib:
        shutil.copytree(trained.before, disk / "home")
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - (kib << 10)))
        answer = confined.run(mounted / "home", TRAIN, logs="first")
        found = judge(take(), trained)
        left["enough room" if answer.statuses == [0] else found] += 1
        assert answer.statuses == [0] or ("the disk is full" in answer.said and "Traceback" not in answer.said), answer.said
        (disk / "ballast").unlink()
        run_again(confined, mounted / "home")
        assert is_finished(take(), trained)
        shutil.rmtree(disk / "home")
    return left


def test_the_manifest_says_what_a_day_was_trained_on(trained: Trained, nursery: Nursery) -> None:
    records, lake = Records(trained.after), lake_of(trained.after, nursery.raw)
    manifest: Manifest = CheckpointStore(trained.after).verify(trained.challenger)
    labelled, relabelled = records.require(DAY, "label")["table_version"], records.require(DAY, "relabel")["days"][str(FIRST)]["version"]
    assert labelled < relabelled
    assert manifest["samples_versions"] == {str(FIRST): relabelled, str(DAY): labelled}
    assert manifest["table_versions"] == {"samples": labelled, **{table.name: lake.version(table) for table in FEATURES}}
    assert (manifest["threads"], manifest["torch"], manifest["seed"]) == (1, torch.__version__, 2018)
    assert (manifest["rows"], manifest["parent"]) == (records.require(DAY, "train")["rows"], trained.parent)


def test_training_that_is_killed_leaves_the_parent_and_runs_again(trained: Trained, nursery: Nursery, tmp_path: Path) -> None:
    assert kill(trained, 4, nursery, tmp_path / "home").total() >= 4


def test_training_on_a_full_disk_says_so_and_leaves_the_parent(trained: Trained, confined: Nursery, mounted: Path, tmp_path: Path) -> None:
    assert fill(trained, confined, mounted, tmp_path / "home", (0, 11000)) == {"nothing": 2}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_kills_leave_no_checkpoint_or_the_right_one(trained: Trained, nursery: Nursery, tmp_path: Path) -> None:
    left = kill(trained, 100, nursery, tmp_path / "home")
    sys.stdout.write(f"\ntrain: 100 kills over {trained.seconds:.2f} s left {dict(left)}\n")
    assert left["nothing"]
    assert left["published"] + left["head"] + left["recorded"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_disk_that_fills_up_at_any_write_leaves_no_checkpoint_or_the_right_one(
    trained: Trained, confined: Nursery, mounted: Path, tmp_path: Path
) -> None:
    left = fill(trained, confined, mounted, tmp_path / "home", [*range(0, 12000, 600), *range(12200, 12440, 12)])
    sys.stdout.write(f"\ntrain: 40 disks with 0 to 12,440 KiB free left {dict(left)}\n")
    assert left["nothing"]
