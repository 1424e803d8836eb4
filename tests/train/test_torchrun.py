"""`esmm train` under torchrun, of a day of a shop: any number of ranks after any, and ranks that are lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from components.checkpoints import CheckpointStore
from components.records import Records
from components.settings import Settings
from tests.conftest import FIRST, label_days, set_shop_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SECOND = FIRST + timedelta(days=1)
BIN = Path(sys.executable).parent
TIMEOUT_S = 10


@pytest.fixture(scope="module")
def prepared(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Return the settings of a home in which two days wait to be trained; its environment is that of the processes started."""
    from components.settings import load_settings

    with pytest.MonkeyPatch.context() as patch:
        set_shop_environment(shop, tmp_path_factory.mktemp("prepared"), patch)
        patch.setenv("ESMM_WORK__RANK_TIMEOUT", f"PT{TIMEOUT_S}S")
        patch.setenv("ESMM_TRAIN__CHUNK_ROWS", "1000")
        patch.setenv("ESMM_TRAIN__BATCH_SIZE", "4")
        settings = load_settings()
        label_days(settings, (FIRST, SECOND))
        yield settings


def copied(source: Path, home: Path) -> Path:
    shutil.copytree(source, home)
    return home


@contextmanager
def torchrun(ranks: int, home: Path, day: str = str(FIRST)) -> Iterator[subprocess.Popen[str]]:
    started = ["torchrun", "--nproc-per-node", str(ranks), "--no-python"] if ranks > 1 else []
    command = [str(BIN / part) if part in ("torchrun", "esmm") else part for part in (*started, "esmm", "train", day, "--json")]
    log = home / "torchrun.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, env={**os.environ, "ESMM_HOME": str(home)}, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def trained(ranks: int, home: Path, day: str = str(FIRST)) -> str:
    with torchrun(ranks, home, day) as process:
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, (home / "torchrun.log").read_text()[-3000:]
    return str(json.loads(printed)["version"])  # one rank alone prints


@pytest.mark.parametrize("first", [1, 2, 4])
def test_a_checkpoint_of_any_number_of_ranks_is_trained_on_by_any(prepared: Settings, tmp_path: Path, first: int):
    home = copied(prepared.root, tmp_path / "home")
    parent = trained(first, home)
    children = {}
    for second in (1, 2, 4):
        version = trained(second, copied(home, tmp_path / f"home{second}"), str(SECOND))
        children[second] = CheckpointStore(tmp_path / f"home{second}").verify(version)
    assert [child["parent"] for child in children.values()] == [parent] * 3
    assert [child.get("ranks", 1) for child in children.values()] == [1, 2, 4]
    assert len({(child["rows"], child["clicks"], child["conversions"]) for child in children.values()}) == 1
    losses = [sum(child["losses"].values()) for child in children.values()]
    assert losses == pytest.approx([losses[0]] * 3, rel=0.06)  # batches of 4, and 8 conversions a day


def ranks_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = psutil.Process(process.pid).children(recursive=True)
    return [rank for rank in found if "train" in rank.cmdline() and "RANK" in rank.environ()]


def wait_for_ranks(process: subprocess.Popen[str], home: Path) -> list[psutil.Process]:
    """Return the ranks once they have met."""
    until, scratch = time.monotonic() + 120, home / "scratch"
    known = set(scratch.iterdir())
    while not set(scratch.iterdir()) - known:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    return ranks_of(process)


def checkpoints(home: Path) -> list[str]:
    """Return what is visible of checkpoints, heads and the train record."""
    visible = [*(home / "checkpoints").glob("2*"), *(home / "checkpoints" / "heads").glob("2*")]
    return [path.name for path in visible] + (["record"] if Records(home).read(FIRST, "train") else [])


@pytest.mark.parametrize(("lost", "sent"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGSTOP)])
def test_a_rank_that_is_lost_ends_the_job_and_nothing_is_half_written(prepared: Settings, tmp_path: Path, lost: int, sent: signal.Signals):
    whole, home, ended = copied(prepared.root, tmp_path / "whole"), copied(prepared.root, tmp_path / "home"), []
    expected = trained(2, whole)
    for pause_s in (0, 1, 3):
        with torchrun(2, home) as process:
            rank = next(rank for rank in wait_for_ranks(process, home) if rank.environ()["RANK"] == str(lost))
            time.sleep(pause_s)
            rank.send_signal(sent)
            ended.append(process.wait(timeout=TIMEOUT_S + 90))  # torchrun kills a rank that does not end 30 s after it is asked to
        left = [] if ended[-1] else [expected, f"{FIRST}.json", "record"]
        assert checkpoints(home) == left, (home / "torchrun.log").read_text()[-3000:]
    assert ended[0]
    if sent == signal.SIGSTOP and ended[-1]:  # torchrun itself ends the others of a rank that is dead, often before they can say so
        assert "RankLostError" in (home / "torchrun.log").read_text()
    assert trained(2, home) == expected
    assert not list((home / "checkpoints").glob(".aside*"))
    assert not list((home / "scratch").iterdir())
