"""Runs: judged, kept whole, done once."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from components.cli import main
from components.experiment import experiment as room
from components.experiment.arms import ARMS, Arm
from components.experiment.runs import Plan, run, training_rows
from components.experiment.training import arm_settings
from components.experiment.worlds import Rows, altered
from components.model_settings import Train
from components.settings import Settings
from tests.experiment.conftest import SIZE, small


def metrics(plan: Plan, arm: str, seed: int = 0) -> dict[str, float | None]:
    kept = plan.finished(arm, seed)
    assert kept is not None
    found: dict[str, float | None] = kept["metrics"]
    return found


def test_aman_underestimates_and_the_oracle_does_not(plan: Plan):
    for arm in ("base", "oracle", "aman_100"):
        run((arm, 0), plan)
    base, oracle, aman = (metrics(plan, arm) for arm in ("base", "oracle", "aman_100"))
    assert base["ctcvr_auc"] == base["ctcvr_auc_own"]  # its own pCTR is the reference
    assert oracle["cvr_bias_all"] == pytest.approx(0)
    assert oracle["cvr_auc_all"] > max(base["cvr_auc_all"], aman["cvr_auc_all"])
    assert aman["ctr_auc"] is None
    assert aman["cvr_bias_all"] < -0.5 < base["cvr_bias_all"]  # every unclicked impression was a negative
    assert oracle["ctr_relevance_auc"] != oracle["ctr_auc"]


def test_every_arm_trains_and_is_judged_by_the_same_metrics(plan: Plan):
    for arm in ARMS:
        run((arm, 0), plan)
    found = {arm: metrics(plan, arm) for arm in ARMS}
    assert {tuple(names) for names in found.values()} == {tuple(found["base"])}
    assert all(values["ctcvr_auc"] is not None and values["cvr_auc_all"] is not None for values in found.values())
    assert {arm for arm, values in found.items() if values["ctr_auc"] is None} == {arm for arm, one in ARMS.items() if not one.own_ctr}
    corrected = {"age_corrected": "esmm", "age_corrected_masked": "masked", "age_corrected_product_masked": "product_masked"}
    for arm, naive in corrected.items():  # the same where no label is young, as here
        assert found[arm]["cvr_auc_all"] == pytest.approx(found[naive]["cvr_auc_all"], abs=0.005)
    assert len({values["cvr_auc_all"] for arm, values in found.items() if arm not in corrected}) == len(ARMS) - len(corrected)


def test_the_same_seed_gives_the_same_run_and_another_another(plan: Plan, tmp_path: Path):
    again = replace(plan, folder=tmp_path / "again")
    for where, seed in ((plan, 0), (again, 0), (plan, 1)):
        run(("base", seed), where)
    assert plan.kept("base", 0).read_bytes() == again.kept("base", 0).read_bytes()
    assert metrics(plan, "base") != metrics(plan, "base", 1)


def test_a_run_of_other_settings_or_labels_is_not_finished(plan: Plan):
    run(("base", 0), plan)
    assert plan.finished("base", 0)
    assert not plan.finished("base", 1)
    assert not replace(plan, labels="logged").finished("base", 0)
    assert not replace(plan, share=0.5).finished("base", 0)
    assert not replace(plan, settings=altered(plan.settings, train=Train(batch_size=128))).finished("base", 0)


def test_an_arm_changes_the_network_and_the_training_but_not_its_seed():
    settings = Settings(model={"activation": "prelu"}, train={"batch_size": 128, "threads": 2})
    arm = Arm("", {"bottom": "mmoe"}, {"negative_rate": 0.25, "seed": 9})
    found = arm_settings(settings, arm, seed=3)
    assert (found.model.bottom, found.model.activation) == ("mmoe", "prelu")
    assert found.train == Train(batch_size=128, negative_rate=0.25, seed=3, threads=1)


def test_arms_learn_from_the_labels_that_are_asked_for(plan: Plan):
    final, logged = (
        training_rows(replace(plan, labels=labels), 0).select(pl.col("converted").sum()).collect().item() for labels in ("final", "logged")
    )
    told = pl.scan_parquet(plan.rows.train).select(pl.col("converted", "final_converted").sum()).collect()
    assert (logged, final) == told.row(0)


def test_an_experiment_goes_on_where_it_was_ended(world: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "worlds").mkdir()
    (tmp_path / "worlds" / SIZE.key).symlink_to(world.folder)
    told: list[tuple[str, int, int]] = []
    begin = partial(
        room.experiment,
        SIZE,
        ["unbias"],
        1,
        tmp_path,
        small(Settings()),
        labels="final",
        shares=[1.0],
        progress=lambda *part: told.append(part),
    )
    monkeypatch.setattr(room, "each", in_turn)
    begin()
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    assert set(kept) == {"base-0.json", "oracle-0.json", "unbias-0.json"}
    assert told[-1] == ("runs", 3, 3)
    lost = next((tmp_path / "runs").rglob("oracle-0.json"))
    page, before = (tmp_path / "results.md").read_bytes(), lost.read_bytes()
    lost.unlink()
    begin()
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    assert {name for name in kept if after[name] != kept[name]} == {"oracle-0.json"}
    assert lost.read_bytes() == before
    assert (tmp_path / "results.md").read_bytes() == page


def test_several_shares_make_the_sampling_curve(world: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "worlds").mkdir()
    (tmp_path / "worlds" / SIZE.key).symlink_to(world.folder)
    monkeypatch.setattr(room, "each", in_turn)
    begin = partial(room.experiment, SIZE, ["esmm"], 1, tmp_path, small(Settings()), labels="final", progress=lambda *_: None)
    found = begin(shares=[1.0, 0.5])
    assert {path.parent.name for path in (tmp_path / "runs").rglob("esmm-0.json")} == {
        f"{SIZE.key}-final-{share}" for share in ("0.5", "1")
    }
    assert "share of its rows: 1." in (tmp_path / "results.md").read_text(encoding="utf-8")
    curve = pl.read_csv(found["curve_csv"])
    assert curve["rows_share"].unique().sort().to_list() == [0.5, 1.0]
    results = pl.read_csv(found["csv"])
    whole = curve.filter(rows_share=1.0).drop("rows_share")
    assert whole.equals(results.filter(pl.col("metric").is_in(whole["metric"].unique().implode())))
    assert "curve_png" not in begin(shares=[0.5])


def in_turn(work: Callable[[object], None], asked: list[object]) -> list[object]:
    """Stand for the pool, in this process."""
    for one in asked:
        work(one)
    return asked


@pytest.mark.parametrize(("option", "said"), [("--arms=esmn", "expected arms among all"), ("--world=moon", "expected a world among")])
def test_what_is_misspelt_is_refused_before_anything_is_made(option, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["experiment", option, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
