"""Two ranks train together; all that they do is done in one meeting, for it takes seconds to meet."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from components.checkpoints import Checkpoint, CheckpointStore
from components.model.scoring import score
from components.train.calibration import fine_tune_calibrated
from components.train.loop import fine_tune
from tests.train.conftest import PROFILE
from tests.train.in_ranks import DAY, Outcomes, Scenario, given, meet, settings_of

RANKS = 2
SKEWED: Scenario = {"rows": "skewed.parquet", "train": {"negative_rate": 1.0, "chunk_rows": 250}}


EXACT: Scenario = {"profile": "exact.toml", "train": {"negative_rate": 1.0, "batch_size": 512, "chunk_rows": 1000, "most_waiting": 30}}
"""A day is a chunk and a batch, in one process and in ranks."""
OF_IDS = ["ids", "ids_separate", "ids_lonely", "ids_of_one", "ids_expire"]


def on_day(day: int, samples: pl.DataFrame) -> pl.DataFrame:
    return samples.with_columns(exposed_at=pl.lit(datetime(2024, 5, 1 + day, 9, tzinfo=UTC), pl.Datetime("us", "UTC")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_samples: Callable[..., pl.DataFrame]) -> Path:
    """Return a folder with profiles and rows, and the checkpoint that one process trains on the few."""
    folder, samples = tmp_path_factory.mktemp("ranks"), on_day(0, make_samples(900))
    (folder / "profile.toml").write_text(PROFILE)
    exact = PROFILE.replace("buckets = 400", "exact = true, buckets = 400, admit_after = 9, expire_days = 1").replace("200", "20")
    (folder / "exact.toml").write_text(exact.replace("64", "8"))  # small hashed tables, so that the pool outgrows its room
    few = samples.head(64)
    of_one_user = pl.when(pl.int_range(pl.len()) % 5 > 0).then(pl.lit("user1")).otherwise("user_id")
    no_label = pl.when(pl.int_range(pl.len()) == 70).then(float("nan")).otherwise(pl.col("converted").cast(pl.Float64))
    rows = {"few": few, "skewed": samples.with_columns(user_id=of_one_user), "lonely": few.with_columns(user_id=pl.lit("user1"))}
    rows["spoiled"] = samples.head(200).with_columns(converted=no_label)
    rows["nameless"] = few.with_columns(user_id=pl.lit(None, dtype=pl.String))
    for day, prefix in enumerate(("first", "second", "third")):
        rows[f"day{day}"] = on_day(day, make_samples(300, seed=day).with_columns(pl.col("item_id").str.replace("item", prefix)))
    rows["day0_lonely"] = rows["day0"].with_columns(user_id=pl.lit("user4"))  # of the second rank
    for name, frame in rows.items():
        frame.write_parquet(folder / f"{name}.parquet")
    return folder


def in_one_process(folder: Path, scenario: Scenario) -> Checkpoint:
    settings, (rows, parent) = settings_of(folder, scenario), given(folder, scenario)
    return fine_tune_calibrated(rows, parent, profile=settings.profile, settings=settings)


@pytest.fixture(scope="module")
def plan(folder: Path) -> dict[str, Scenario]:
    parent = CheckpointStore(folder).save(DAY, in_one_process(folder, {"rows": "few.parquet"}))
    one = CheckpointStore(folder).save(DAY, in_one_process(folder, {**EXACT, "rows": "day0.parquet"}))
    few, separate = {"rows": "few.parquet"}, {"bottom": "separate_embedding", "loss": "masked"}
    return {
        "step": few,
        "second_step": {**few, "parent": parent},
        "separate": {**few, "model": separate},
        "lonely": {"rows": "lonely.parquet"},
        "nameless": {"rows": "nameless.parquet"},
        "skewed": SKEWED,
        "again": SKEWED,
        "strangers": {**few, "seeds": [1, 2]},
        "ids": {**EXACT, "rows": "day0.parquet"},
        "ids_separate": {**EXACT, "rows": "day0.parquet", "model": separate},
        "ids_lonely": {**EXACT, "rows": "day0_lonely.parquet"},
        "ids_of_one": {**EXACT, "rows": "day1.parquet", "parent": one},
        "ids_expire": {**EXACT, "rows": "day2.parquet", "parent": "ids_of_one"},
        "ids_skewed": {**SKEWED, "profile": "exact.toml"},
        "ids_again": {**SKEWED, "profile": "exact.toml"},
        "spoiled": {"rows": "spoiled.parquet"},
        "too_fast": {**SKEWED, "train": {"table_learning_rate": 1e30}},
        "calibrated": {"rows": "skewed.parquet", "train": {"calibration_share": 0.3}},
    }


@pytest.fixture(scope="module")
def outcomes(folder: Path, plan: dict[str, Scenario]) -> Outcomes:
    """Return what each rank said of each scenario."""
    return meet(folder, plan, RANKS)


def saved(folder: Path, outcomes: Outcomes, name: str) -> Checkpoint:
    first, *others = outcomes[name]
    assert others == [{"version": None}] * (RANKS - 1)
    return CheckpointStore(folder).load(first["version"])


@pytest.mark.parametrize("name", ["step", "second_step", "separate", "lonely", "nameless", *OF_IDS])
def test_a_step_of_two_ranks_is_that_of_one_process(folder: Path, plan: dict[str, Scenario], outcomes: Outcomes, name: str):
    ours, one = saved(folder, outcomes, name), in_one_process(folder, plan[name])
    assert ours.manifest["ranks"] == RANKS
    for tensors, others in ((ours.model, one.model), (ours.optimizer, one.optimizer)):
        assert tensors.keys() == others.keys()
        for own in tensors:
            torch.testing.assert_close(tensors[own], others[own], rtol=2e-5, atol=1e-7, msg=lambda text, own=own: f"{own}: {text}")


@pytest.mark.parametrize("name", OF_IDS)
def test_ranks_admit_the_ids_that_one_process_admits(folder: Path, plan: dict[str, Scenario], outcomes: Outcomes, name: str):
    ours, one = saved(folder, outcomes, name), in_one_process(folder, plan[name])
    for tensors, others in ((ours.model, one.model), (ours.optimizer, one.optimizer)):
        whole = [name for name in others if not others[name].is_floating_point()]
        assert all(tensors[name].equal(others[name]) for name in whole)
    assert [ours.manifest[fact] for fact in ("ids", "pool", "first_chunk", "chunks")] == [
        one.manifest[fact] for fact in ("ids", "pool", "first_chunk", "chunks")
    ]
    (facts,) = [facts for facts in ours.manifest["ids"] if facts["field"] == "item_id"]
    assert (facts["entries"], min(facts["admitted"], facts["waiting"], facts["dropped"]) > 0) == (300, True)
    assert (facts["evicted"] > 0) == (name == "ids_expire")


def test_ids_of_ranks_score_as_those_of_one_process(folder: Path, plan: dict[str, Scenario], outcomes: Outcomes):
    scenario = plan["ids_expire"]
    settings, (rows, _) = settings_of(folder, scenario), given(folder, scenario)
    ours, one = (
        score(rows, trained, profile=settings.profile, settings=settings)
        for trained in (saved(folder, outcomes, "ids_expire"), in_one_process(folder, scenario))
    )
    assert ours["pctcvr"].to_list() == pytest.approx(one["pctcvr"].to_list(), rel=1e-4)


def test_ids_are_learned_in_as_many_ranks_as_in_one_process(folder: Path, plan: dict[str, Scenario], outcomes: Outcomes):
    assert outcomes["ids_again"] == outcomes["ids_skewed"]
    ours, one = saved(folder, outcomes, "ids_skewed").manifest, in_one_process(folder, plan["ids_skewed"]).manifest
    assert ours["losses"] == pytest.approx(one["losses"], rel=0.02)
    assert [facts["entries"] for facts in ours["ids"]] == [facts["entries"] for facts in one["ids"]]
    assert [facts["ids"] for facts in ours["ids"]] == [facts["ids"] for facts in one["ids"]]


def test_ranks_with_other_numbers_of_rows_train_on_all_of_them_in_as_many_steps(folder: Path, outcomes: Outcomes):
    ours, one = saved(folder, outcomes, "skewed").manifest, in_one_process(folder, SKEWED).manifest
    assert [ours[name] for name in ("rows", "clicks", "conversions", "base_rates")] == [
        one[name] for name in ("rows", "clicks", "conversions", "base_rates")
    ]
    assert ours["losses"] == pytest.approx(one["losses"], rel=0.02)
    assert ours["chunks"] > one["chunks"]  # one rank's rows take more chunks than half of all


def test_the_same_rows_in_as_many_ranks_give_the_same_bytes(outcomes: Outcomes):
    assert outcomes["again"] == outcomes["skewed"]


def test_a_checkpoint_of_ranks_is_calibrated_on_the_rows_held_back(folder: Path, outcomes: Outcomes):
    ours = saved(folder, outcomes, "calibrated").manifest
    assert ours["calibration"]["pctr"]["rows"] == 900 - ours["rows"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("spoiled", "label converted: expected finite numbers, found that the label of 1 of"),
        ("too_fast", "expected finite numbers, found that"),
        ("strangers", "DataError: train: expected 2 ranks with the same seed, found rank 0 1; rank 1 2"),
    ],
)
def test_all_ranks_end_with_the_same_error(outcomes: Outcomes, name: str, said: str):
    assert said in outcomes[name][0]["error"]
    assert outcomes[name] == [outcomes[name][0]] * RANKS


def test_one_process_imports_nothing_of_the_ranks():
    code = (
        "import sys; from components import cli, steps; from components.train import calibration; "
        "found = {'torchrec', 'fbgemm_gpu', 'components.train.sharded'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_learn_what_one_process_learns(tmp_path: Path, make_samples: Callable[..., pl.DataFrame], ranks: int):
    (tmp_path / "profile.toml").write_text(PROFILE)
    training = {"train": {"learning_rate": 0.005, "table_learning_rate": 0.05, "chunk_rows": 5000, "seed": 1}}
    names = [f"day{number}" for number in range(4)]
    for number, name in enumerate(names):
        make_samples(8000, seed=number).write_parquet(tmp_path / f"{name}.parquet")
    plan = {name: {**training, "rows": f"{name}.parquet"} for name in names}
    for before, name in pairwise(names):
        plan[name]["parent"] = before
    store, later, settings = CheckpointStore(tmp_path), make_samples(20_000, seed=9), settings_of(tmp_path, training)
    together = [store.load(outcome[0]["version"]) for outcome in meet(tmp_path, plan, ranks).values()]
    alone = [None]
    for name in names:
        alone.append(fine_tune(given(tmp_path, {"rows": f"{name}.parquet"})[0], alone[-1], profile=settings.profile, settings=settings))
    for number, (ours, one) in enumerate(zip(together, alone[1:], strict=True)):
        tolerance = 0.015 if number else 0.04  # of a first day, where the order of the rows tells most
        assert ours.manifest["losses"] == pytest.approx(one.manifest["losses"], rel=tolerance)
    ours, one = (score(later.lazy(), last, profile=settings.profile, settings=settings) for last in (together[-1], alone[-1]))
    for label, name in (("clicked", "pctr"), ("converted", "pctcvr")):
        assert roc_auc_score(later[label], ours[name]) == pytest.approx(roc_auc_score(later[label], one[name]), abs=0.005)
