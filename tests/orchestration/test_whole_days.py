"""The same days through Airflow, Kubeflow and the command line: the same sample bytes, the same champion."""

import itertools
import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from components import steps
from components.lake import Lake
from components.records import Records
from components.settings import Settings, load_settings
from components.simulate.world import simulate
from components.tables import SAMPLES

REPOSITORY = Path(__file__).parents[2]
FIRST = date(2024, 5, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(3)]
AIRFLOW = {
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "2",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what the homes have in common: three days of logs, the first of which makes a champion, and a lenient gate."""
    raw = tmp_path_factory.mktemp("shop") / "raw"
    simulate(raw, start=FIRST, days=len(DAYS), impressions_per_day=4000, seed=7)
    return {
        "ESMM_DATA__RAW": str(raw),
        "ESMM_DATA__PROFILE": str(raw / "profile.toml"),
        "ESMM_GATE__MIN_POSITIVES": "2",
        "ESMM_GATE__PCOC_BAND": "[0.01, 100]",
        "ESMM_EVALUATION__MIN_POSITIVES": "2",
        "ESMM_EVALUATION__CONFIDENCE": "0.51",
        "ESMM_VALIDATION__MAX_QUARANTINED_SHARE": "0.2",
    }


def run(arguments: list[str], environment: dict[str, str], home: Path) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ESMM_", "AIRFLOW_"))}
    own = {"ESMM_HOME": str(home), "AIRFLOW_HOME": str(home / "airflow"), **AIRFLOW}
    done = subprocess.run(
        [sys.executable, *arguments], env={**inherited, **own, **environment}, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def outcome(home: Path, environment: dict[str, str], days: list[date]) -> dict[str, Any]:
    """Return the sample bytes of each day, as it was first labelled and as it is now, and what the gate said of the last."""
    settings = settings_of(home, environment)
    lake, records = Lake(settings.lake_uri, settings.profile), Records(home)
    verdict = records.require(days[-1], "promote")
    return {
        "labelled": [records.require(day, "label")["fingerprint"] for day in days],
        "samples": [lake.fingerprint(SAMPLES, day) for day in days],
        "verdict": {key: verdict[key] for key in ("verdict", "reason", "champion", "challenger", "metrics")},
    }


def settings_of(home: Path, environment: dict[str, str]) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment, "ESMM_HOME": str(home)}.items():
            patch.setenv(name, value)
        return load_settings()


@pytest.fixture(scope="module")
def by_hand(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("by_hand")
    settings = settings_of(home, environment)
    for day in DAYS:
        steps.run_day(day, settings)
    return {"home": home, **outcome(home, environment, DAYS)}


@pytest.fixture(scope="module")
def backfilled(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("backfilled")
    script = str(Path(__file__).parent / "backfill_in_process.py")
    printed = run([script, str(DAYS[0]), str(DAYS[-1])], environment, home)
    return {"rounds": json.loads(printed.splitlines()[-1]), **outcome(home, environment, DAYS)}


def test_a_backfill_ends_with_every_task_done(backfilled: dict[str, Any]) -> None:
    rounds = backfilled["rounds"]
    assert {state for *_, state in rounds} == {"success"}
    assert len(rounds) == len(DAYS) * (1 + 4 + 8)


def test_preparation_of_the_days_overlaps_and_training_is_in_day_order(backfilled: dict[str, Any]) -> None:
    first_round = {(day, task): number for number, day, task, _ in reversed(backfilled["rounds"])}
    for task in ("arrived", "ingest", "label", "validate"):
        assert len({first_round[str(day), task] for day in DAYS}) == 1
    for task in ("relabel", "aggregate", "train", "evaluate"):
        numbers = [first_round[str(day), task] for day in DAYS]
        assert numbers == sorted(set(numbers))
    for day, after in itertools.pairwise(DAYS):
        assert first_round[str(day), "promote"] < first_round[str(after), "evaluate"]


def test_a_backfill_gives_the_bytes_and_the_champion_of_the_command_line(by_hand: dict[str, Any], backfilled: dict[str, Any]) -> None:
    assert (backfilled["labelled"], backfilled["samples"]) == (by_hand["labelled"], by_hand["samples"])
    assert by_hand["labelled"][0] != by_hand["samples"][0]  # the later days' purchases are in
    assert backfilled["verdict"] == by_hand["verdict"]
    assert by_hand["verdict"]["champion"]


def test_a_backfill_in_shares_gives_the_same_bytes_and_champion(
    by_hand: dict[str, Any], environment: dict[str, str], tmp_path: Path
) -> None:
    script, shared = str(Path(__file__).parent / "backfill_in_process.py"), {**environment, "ESMM_WORK__BUCKETS": "3"}
    rounds = json.loads(run([script, str(DAYS[0]), str(DAYS[1])], shared, tmp_path).splitlines()[-1])
    assert {state for *_, state in rounds} == {"success"}
    assert len(rounds) == 2 * (1 + 4 + 8 + 5 * 3)
    assert not list((tmp_path / "staged").glob("*/*/*/*"))  # every share was taken
    assert outcome(tmp_path, shared, DAYS[:1])["labelled"] == by_hand["labelled"][:1]
    champions = [Records(home).require(DAYS[1], "promote")["champion"] for home in (by_hand["home"], tmp_path)]
    assert champions[0] == champions[1]


def test_running_the_days_again_changes_nothing(by_hand: dict[str, Any], environment: dict[str, str]) -> None:
    settings = settings_of(by_hand["home"], environment)
    for day in DAYS:
        steps.run_day(day, settings)
    again = outcome(by_hand["home"], environment, DAYS)
    assert (again["samples"], again["verdict"]) == (by_hand["samples"], by_hand["verdict"])


def test_a_day_through_kubeflow_gives_the_same_sample_bytes(by_hand: dict[str, Any], environment: dict[str, str], tmp_path: Path) -> None:
    run([str(Path(__file__).parent / "kubeflow_day.py"), str(FIRST), str(tmp_path / "pipelines")], environment, tmp_path / "home")
    assert outcome(tmp_path / "home", environment, [FIRST])["labelled"] == by_hand["labelled"][:1]


def test_a_day_in_shares_through_kubeflow_gives_the_same_sample_bytes(
    by_hand: dict[str, Any], environment: dict[str, str], tmp_path: Path
) -> None:
    shared = {**environment, "ESMM_WORK__BUCKETS": "2"}
    run([str(Path(__file__).parent / "kubeflow_day.py"), str(FIRST), str(tmp_path / "pipelines")], shared, tmp_path / "home")
    assert outcome(tmp_path / "home", shared, [FIRST])["labelled"] == by_hand["labelled"][:1]
    assert not list((tmp_path / "home" / "staged").glob("*/*/*/*"))


def test_dag_test_runs_the_day_of_its_logical_date(by_hand: dict[str, Any], environment: dict[str, str], tmp_path: Path) -> None:
    run([str(Path(__file__).parent / "dag_test_day.py"), str(FIRST)], environment, tmp_path / "home")
    assert outcome(tmp_path / "home", environment, [FIRST])["labelled"] == by_hand["labelled"][:1]
    assert Records(tmp_path / "home").days() == [FIRST]
