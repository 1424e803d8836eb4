"""A checkpoint that carries its calibration: fitted on later rows, saved, applied when scoring, dropped by the child."""

from datetime import date

import polars as pl
import pytest
import torch

from components.checkpoints import Checkpoint, CheckpointStore
from components.errors import DataError
from components.model.scoring import score
from components.train.calibration import calibrate
from components.train.loop import fine_tune


@pytest.fixture
def settings(make_settings):
    return make_settings(learning_rate=0.005, table_learning_rate=0.05)


@pytest.fixture
def biased(make_samples, settings):
    """A checkpoint whose click tower errs by two log-odds and whose conversion tower by one and a half the other way."""
    trained = fine_tune(make_samples(2000).lazy(), None, profile=settings.profile, settings=settings)
    moved = {"ctr_tower.4.bias": -2.0, "cvr_tower.4.bias": 1.5}
    model = {name: tensor + moved.get(name, 0.0) for name, tensor in trained.model.items()}
    return Checkpoint(model, trained.optimizer, trained.manifest)


def scores(rows, checkpoint, settings):
    return score(rows.lazy(), checkpoint, profile=settings.profile, settings=settings)


def pcoc(rows, checkpoint, settings):
    scored = scores(rows, checkpoint, settings).with_columns(rows["clicked"], rows["converted"])
    clicked = scored.filter("clicked")
    sums = (scored["pctr"].sum(), scored["clicked"].sum()), (clicked["pcvr"].sum(), clicked["converted"].sum())
    return [predicted / happened for predicted, happened in sums]


@pytest.mark.parametrize(("rows", "methods"), [(1500, ["platt", "platt"]), (9000, ["isotonic", "isotonic"])])
def test_calibrated_scores_agree_with_rows_that_nothing_was_fitted_on(make_samples, settings, biased, rows, methods, tmp_path):
    held_out, later = make_samples(rows, seed=2), make_samples(4000, seed=3)
    found = calibrate(held_out.lazy(), biased, profile=settings.profile, settings=settings)
    store = CheckpointStore(tmp_path)
    loaded = store.load(store.save(date(2024, 5, 1), found))
    assert [loaded.manifest["calibration"][name]["method"] for name in ("pctr", "pcvr")] == methods
    assert loaded.manifest["calibration"]["pcvr"]["rows"] == held_out["clicked"].sum()
    before, after = pcoc(later, biased, settings), pcoc(later, loaded, settings)
    assert before[0] < 0.6
    assert before[1] > 1.2
    assert after == pytest.approx([1, 1], abs=0.1)
    scored = scores(later, loaded, settings)
    assert scored["pctcvr"].equals((scored["pctr"] * scored["pcvr"]).alias("pctcvr"))
    assert scored.equals(scores(later, found, settings))


def test_a_second_calibration_replaces_the_first_and_another_is_another_version(make_samples, settings, biased, tmp_path):
    rows = [make_samples(size, seed=2).lazy() for size in (6000, 1500)]
    one, other = (calibrate(each, biased, profile=settings.profile, settings=settings) for each in rows)
    again = calibrate(rows[1], one, profile=settings.profile, settings=settings)
    assert again.model.keys() == other.model.keys()
    assert all(torch.equal(again.model[name], tensor) for name, tensor in other.model.items())
    versions = {CheckpointStore(tmp_path).save(date(2024, 5, 1), each) for each in (biased, one, other)}
    assert len(versions) == 3


def test_a_child_goes_on_from_the_network_and_leaves_the_maps(make_samples, settings, biased):
    parent = calibrate(make_samples(1500, seed=2).lazy(), biased, profile=settings.profile, settings=settings)
    children = [fine_tune(make_samples(300).lazy(), each, profile=settings.profile, settings=settings) for each in (parent, biased)]
    assert children[0].model.keys() == children[1].model.keys()
    assert all(torch.equal(children[0].model[name], tensor) for name, tensor in children[1].model.items())
    assert "calibration" not in children[0].manifest


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"clicked": False}, r"calibrate pctr: expected rows with clicked and rows without, found 0 of 200"),
        ({"converted": False}, r"calibrate pcvr: expected rows with converted and rows without, found 0 of"),
    ],
)
def test_rows_of_one_outcome_cannot_calibrate(make_samples, settings, biased, change, says):
    rows = make_samples(200).with_columns(**{name: pl.lit(value) for name, value in change.items()})
    with pytest.raises(DataError, match=says):
        calibrate(rows.lazy(), biased, profile=settings.profile, settings=settings)
