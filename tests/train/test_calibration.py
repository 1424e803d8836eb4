"""A checkpoint that carries its calibration: fitted on later rows, saved, applied when scoring, dropped by the child."""

import logging
from datetime import date

import numpy as np
import polars as pl
import pytest
import torch

from components.checkpoints import Checkpoint, CheckpointStore
from components.errors import DataError
from components.model.calibration import without_maps
from components.model.scoring import score
from components.train.calibration import calibrate, fine_tune_calibrated, held_back
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


def network(checkpoint):
    return {name: tensor.numpy().tobytes() for name, tensor in without_maps(checkpoint.model).items()}


def whole(checkpoint):
    return {name: tensor.numpy().tobytes() for name, tensor in [*checkpoint.model.items(), *checkpoint.optimizer.items()]}


def test_a_row_is_held_back_for_good_whatever_is_beside_it(make_samples):
    rows = make_samples(20_000)
    shares = {share: set(rows.filter(held_back(share))["impression_id"]) for share in (0.0, 0.1, 0.3)}
    assert not shares[0.0]
    assert len(shares[0.1]) == pytest.approx(2000, abs=4 * 42)
    assert shares[0.1] < shares[0.3]
    parts = pl.concat([part.lazy() for part in (rows[12_000:], rows[:12_000])]).filter(held_back(0.3)).collect(engine="streaming")
    assert set(parts["impression_id"]) == shares[0.3]


def test_what_calibrates_is_not_trained_on(make_samples, make_settings):
    rows = make_samples(6000)
    settings = make_settings(calibration_share=0.2)
    both = [fine_tune_calibrated(rows.lazy(), None, profile=settings.profile, settings=settings) for _ in range(2)]
    assert whole(both[0]) == whole(both[1])
    rest, held = rows.filter(~held_back(0.2)), rows.filter(held_back(0.2))
    plain = fine_tune(rest.lazy(), None, profile=settings.profile, settings=settings)
    assert network(both[0]) == network(plain)
    assert both[0].manifest["rows"] == rest.height
    assert both[0].manifest["calibration"]["pctr"]["rows"] == held.height
    moved = rows.with_columns(converted=pl.when(held_back(0.2)).then(pl.col("clicked") & ~pl.col("converted")).otherwise("converted"))
    other = fine_tune_calibrated(moved.lazy(), None, profile=settings.profile, settings=settings)
    assert network(other) == network(plain)
    assert other.model.keys() == both[0].model.keys()
    assert whole(other) != whole(both[0])


def test_a_share_of_none_is_fine_tuning_alone(make_samples, make_settings):
    rows, settings = make_samples(500), make_settings()
    found = fine_tune_calibrated(rows.lazy(), None, profile=settings.profile, settings=settings)
    assert whole(found) == whole(fine_tune(rows.lazy(), None, profile=settings.profile, settings=settings))
    assert "calibration" not in found.manifest


def test_a_miscalibrated_parent_is_mended_by_the_rows_held_back(make_samples, make_settings, biased):
    frozen = make_settings(learning_rate=0.0, table_learning_rate=0.0, calibration_share=0.4)
    rows, later = make_samples(10_000, seed=2), make_samples(4000, seed=3)
    child = fine_tune_calibrated(rows.lazy(), biased, profile=frozen.profile, settings=frozen)
    assert pcoc(later, biased, frozen)[0] < 0.6
    assert pcoc(later, child, frozen) == pytest.approx([1, 1], abs=0.1)


@pytest.mark.parametrize("rows", [3000, 12_000])  # Platt's numbers, then steps
def test_young_labels_calibrate_to_all_conversions_where_the_loss_corrects_for_them(make_samples, make_settings, biased, rows):
    settings, rng = make_settings(model={"age_corrected": True}), np.random.default_rng(6)
    final, later = make_samples(rows, seed=2), make_samples(6000, seed=3)
    share = rng.choice([0.3, 0.9], rows)
    young = final.with_columns(converted=final["converted"] & pl.Series(rng.random(rows) < share), known_share=pl.Series(share))
    manifest = {**biased.manifest, "network": {**biased.manifest["network"], "age_corrected": True}}
    wrong = Checkpoint(biased.model, biased.optimizer, manifest)
    found = calibrate(young.lazy(), wrong, profile=settings.profile, settings=settings)
    assert found.manifest["calibration"]["pcvr"]["method"] == ("platt" if rows == 3000 else "isotonic")
    assert pcoc(later, found, settings) == pytest.approx([1, 1], abs=0.12)


def test_rows_of_one_outcome_leave_the_maps_out_and_say_so(make_samples, make_settings, caplog):
    rows, settings = make_samples(300).with_columns(converted=pl.lit(value=False)), make_settings(calibration_share=0.3)
    with caplog.at_level(logging.WARNING, "esmm"):
        found = fine_tune_calibrated(rows.lazy(), None, profile=settings.profile, settings=settings)
    reason = found.manifest["calibration"]["left_out"]
    assert "calibrate pcvr: expected rows with converted and rows without, found 0 of" in reason
    assert f"{reason}; the challenger is not calibrated" in caplog.text
    assert network(found).keys() == found.model.keys()
