"""Homes in which a corrected delivery of a day has come half way through the steps, and what their tables and records may say."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from components.lake import Lake
from components.profile import load_profile
from components.records import Records
from components.tables import EVENTS, QUARANTINE, SAMPLES, TABLES
from tests.conftest import FIRST

REPOSITORY = Path(__file__).parents[2]
DAY = FIRST + timedelta(days=1)
STEPS = ("ingest", "label", "relabel", "aggregate")
Prints = dict[tuple[str, date], str]


@dataclass(frozen=True)
class Answer:
    """What became of a command line."""

    statuses: list[int]
    seconds: float
    said: str


@dataclass(frozen=True)
class Stage:
    """A step about to read the corrected logs of DAY: the home before it, and its tables before and after."""

    step: str
    before: Path
    old: Prints
    new: Prints
    seconds: float


class Nursery:
    """A process that forks the command line."""

    def __init__(self, raw: Path, *, within: tuple[str, ...] = ()) -> None:
        """Start it, `within` the command of a name space, say; `raw` holds the landing zones `first` and `corrected`."""
        self.raw = raw
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # started at import, lost in a fork
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESMM_")}
        command = [*within, sys.executable, "-m", "tests.faults.nursery"]
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**inherited, **threads}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._receive()

    def run(
        self,
        home: Path,
        *commands: list[str],
        logs: str = "corrected",
        copies: int = 1,
        kill_after_s: float | None = None,
        kill_from: str | None = None,
    ) -> Answer:
        """Run commands one after the other, in as many processes at once as there are copies; SIGKILL each when its time is up.

        kill_from: a pattern of paths in the home; the time counts from when there is one, else from the start.
        """
        log = self.raw / "said.log"
        log.unlink(missing_ok=True)
        environment = {
            "ESMM_HOME": str(home),
            "ESMM_DATA__RAW": str(self.raw / logs),
            "ESMM_DATA__PROFILE": str(self.raw / "first" / "profile.toml"),
            "ESMM_SETTINGS": "",
        }
        request = {"commands": commands, "environment": environment, "log": str(log), "copies": copies}
        request |= {"kill_after_s": kill_after_s, "kill_from": kill_from}
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self._receive()
        return Answer(answer["statuses"], answer["seconds"], log.read_text(errors="replace") if log.exists() else "")

    def _receive(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.close()
            raise AssertionError(f"the nursery ended with status {self.process.returncode}")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


def lake_of(home: Path, raw: Path) -> Lake:
    return Lake(str(home / "lake"), load_profile(raw / "first" / "profile.toml"))


def prints(lake: Lake) -> Prints:
    """Read every file of every table's days: (table, day) -> fingerprint; of the quarantine, where kinds are replaced singly, the rows."""
    days = {
        table: [day for day, stored in lake.stored(table, FIRST - timedelta(days=40), DAY + timedelta(days=40)).items() if stored.files]
        for table in TABLES
    }
    found = {(table.name, day): lake.fingerprint(table, day) for table in TABLES if table != QUARANTINE for day in days[table]}
    for day in days[QUARANTINE]:
        for (kind,), rows in lake.scan(QUARANTINE, day).collect().partition_by("kind", as_dict=True).items():
            found[f"{QUARANTINE.name} of {kind}", day] = rows.write_csv()
    return found


def build(nursery: Nursery, folder: Path) -> dict[str, Stage]:
    """Run two days, then DAY again with its corrected logs, keeping the home as it is before each step."""
    home, lake, stages = folder / "home", lake_of(folder / "home", nursery.raw), {}
    for day in (FIRST, DAY):
        for step in STEPS:
            run_one(nursery, home, step, day, logs="first")
    for step in STEPS:
        before, old = folder / step, prints(lake)
        shutil.copytree(home, before)
        seconds = run_one(nursery, home, step, DAY, logs="corrected")
        stages[step] = Stage(step, before, old, prints(lake), seconds)
    return stages


def run_one(nursery: Nursery, home: Path, step: str, day: date, *, logs: str) -> float:
    answer = nursery.run(home, [step, str(day)], logs=logs)
    assert answer.statuses == [0], answer.said
    if step == "label":  # validation has tests of its own, and takes longer than the other steps together
        records = Records(home)
        records.write(day, "validate", {"success": True, "fingerprint": records.require(day, "label")["fingerprint"]})
    return answer.seconds


def judge(home: Path, stage: Stage, raw: Path) -> str:
    """Say what a disturbed step left: the `old` or the `new` tables, or a `mixture` of whole days; fails where a day is neither."""
    lake = lake_of(home, raw)
    found = prints(lake)
    assert {key: value for key, value in found.items() if value not in (stage.old.get(key), stage.new.get(key))} == {}
    assert stage.old.keys() & stage.new.keys() <= found.keys() <= stage.old.keys() | stage.new.keys()
    _believe_records(home, stage, lake, found)
    if found == stage.new:
        return "new"
    return "old" if found == stage.old else "mixture"


def _believe_records(home: Path, stage: Stage, lake: Lake, found: Prints) -> None:
    """Check that the records of a disturbed step are whole and claim only what is there."""
    for name, record in Records(home).read_day(DAY).items():
        kept = stage.before / "runs" / f"day={DAY}" / f"{name}.json"
        if not kept.exists() or kept.read_text() != Records(home).path(DAY, name).read_text():  # the disturbed step's own
            written = [EVENTS[record["kind"]].name] if name.startswith("ingest-") else _tables_of(name)
            assert {key for key in found if key[0] in written and found[key] != stage.new[key]} == set(), name
        claimed = {"label": (SAMPLES, "samples")} | {f"ingest-{kind}": (table, "accepted") for kind, table in EVENTS.items()}
        if name in claimed:
            table, rows = claimed[name]
            there = lake.scan(table, DAY, version=record["table_version"]).select(pl.len()).collect().item()
            assert there == record[rows], name


def _tables_of(record: str) -> list[str]:
    events = {table.name for table in EVENTS.values()}
    names = [table.name for table in TABLES if table.name not in events]
    by_record = {
        "label": ["samples"],
        "relabel": ["samples", "outcomes"],
        "aggregate": [name for name in names if name.endswith(("_features", "_days"))],
        "day-sums": [name for name in names if name.endswith("_days")],
    }
    return by_record.get(record, [])
