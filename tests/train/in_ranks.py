"""What each rank of the tests runs: `python -m tests.train.in_ranks FOLDER`, one scenario of the plan in the folder after the other."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from components.checkpoints import Checkpoint, CheckpointStore
from components.errors import DataError, SettingsError
from components.settings import Settings

if TYPE_CHECKING:
    from components.train.sharded.ranks import Ranks

DAY = date(2024, 5, 1)
Scenario = dict[str, Any]


Outcomes = dict[str, list[dict[str, Any]]]


def meet(folder: Path, plan: dict[str, Scenario], ranks: int) -> Outcomes:
    """Let so many ranks play a plan; returns what each of them says of each scenario."""
    (folder / "plan.json").write_text(json.dumps(plan))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(ranks)}
    command = [sys.executable, "-m", "tests.train.in_ranks", str(folder)]
    processes = [subprocess.Popen(command, env={**os.environ, **meeting, "RANK": str(rank)}) for rank in range(ranks)]
    assert [process.wait(timeout=250) for process in processes] == [0] * ranks
    return {name: [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(ranks)] for name in plan}


def settings_of(folder: Path, scenario: Scenario) -> Settings:
    """Return a scenario's settings: `profile` is the name of a file, `model` and `train` are sections."""
    chosen = {"hidden": (16, 8), "embedding_width": 6, **scenario.get("model", {})}
    train = {"batch_size": 64, "chunk_rows": 300, **scenario.get("train", {})}
    return Settings(home=folder, data={"profile": str(folder / scenario.get("profile", "profile.toml"))}, model=chosen, train=train)


def given(folder: Path, scenario: Scenario) -> tuple[pl.LazyFrame, Checkpoint | None]:
    """Return a scenario's rows, a Parquet file, and its parent, a version or what the first rank saved in an earlier scenario."""
    parent = scenario.get("parent")
    if parent and (folder / f"{parent}-0.json").exists():
        parent = json.loads((folder / f"{parent}-0.json").read_text())["version"]
    return pl.scan_parquet(folder / scenario["rows"]), CheckpointStore(folder).load(parent) if parent else None


def play(folder: Path, scenario: Scenario, ranks: "Ranks") -> dict[str, Any]:
    """Train in ranks; returns the version that was saved, by the first of them, or the error."""
    from components.train.sharded.loop import fine_tune_calibrated  # not above: pytest would call torchrec's warnings errors

    settings, (rows, parent) = settings_of(folder, scenario), given(folder, scenario)
    try:
        ranks.require_same({"seed": scenario.get("seeds", [0] * ranks.count)[ranks.number]})
        with tempfile.TemporaryDirectory(dir=folder) as files:
            challenger = fine_tune_calibrated(rows, parent, profile=settings.profile, settings=settings, ranks=ranks, folder=Path(files))
            return {"version": CheckpointStore(folder).save(DAY, challenger) if challenger else None}
    except (DataError, SettingsError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main(folder: Path) -> None:
    """Play the plan, and write what came of each scenario to NAME-RANK.json."""
    from components.train.sharded.ranks import joined

    with joined(timedelta(minutes=1)) as ranks:
        for name, scenario in json.loads((folder / "plan.json").read_text()).items():
            (folder / f"{name}-{ranks.number}.json").write_text(json.dumps(play(folder, scenario, ranks)))
            ranks.gather(None)  # the next scenario may go on from what is saved


if __name__ == "__main__":
    main(Path(sys.argv[1]))
