"""Platt's two numbers and isotonic steps against independent fits, on truths that are known."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from components.model.calibration import calibrated, field_calibration_error, fit, isotonic, platt


def logit(p):
    return np.log(p) - np.log1p(-p)


def drawn(rows, *, stretch=1.0, shift=0.0, seed=1):
    """Predictions whose true log-odds are a stretch and a shift away, and outcomes."""
    generator = np.random.default_rng(seed)
    predicted = generator.beta(2, 8, rows)
    truth = 1 / (1 + np.exp(-(stretch * logit(predicted) + shift)))
    return predicted, (generator.random(rows) < truth).astype(float), truth


def test_platt_is_a_logistic_regression_on_the_log_odds_towards_smoothed_outcomes():
    """Each row as a positive and a negative one, weighted by its target."""
    predicted, happened, _ = drawn(20_000, stretch=1.7, shift=-0.6)
    positives, negatives = happened.sum(), len(happened) - happened.sum()
    target = np.where(happened == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    twice, outcomes = np.tile(logit(predicted), 2).reshape(-1, 1), np.repeat([1, 0], len(happened))
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(twice, outcomes, sample_weight=np.append(target, 1 - target))
    expected = [reference.coef_[0, 0], reference.intercept_[0]]
    assert platt(predicted, happened).tolist() == pytest.approx(expected, abs=1e-5)
    assert expected == pytest.approx([1.7, -0.6], abs=0.15)


def test_platt_is_finite_where_a_threshold_parts_the_outcomes():
    predicted = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    values = platt(predicted, (predicted > 0.5).astype(float))
    assert values.isfinite().all()
    assert values[0] > 0


def test_isotonic_steps_are_those_of_scikit_learn():
    predicted, happened, _ = drawn(5_000)
    predicted = predicted.round(2)  # ties
    steps = isotonic(predicted, happened)
    grid = np.linspace(0.0, 1.0, 501)
    reference = IsotonicRegression(out_of_bounds="clip", y_min=1 / 5_002, y_max=1 - 1 / 5_002).fit(predicted, happened)
    np.testing.assert_allclose(np.interp(grid, *steps.numpy()), reference.predict(grid), atol=1e-12)
    assert (steps.diff(dim=1)[0] > 0).all()
    assert (steps.diff(dim=1)[1] >= 0).all()


@pytest.mark.parametrize(("positives", "negatives", "method"), [(999, 5000, "platt"), (1000, 1000, "isotonic"), (5000, 999, "platt")])
def test_steps_need_a_thousand_of_each_outcome(positives, negatives, method):
    happened = np.repeat([1.0, 0.0], [positives, negatives])
    assert fit(np.random.default_rng(1).random(len(happened)), happened)[0] == method


@pytest.mark.parametrize("method", [platt, isotonic])
def test_a_spread_that_is_too_small_is_mended_on_other_rows(method):
    """ESMM's: low rates come out high and high ones low; deciles of the item's rate then err one way each."""
    predicted, happened, _ = drawn(60_000, stretch=2.0, shift=1.6)
    later, outcomes, truth = drawn(60_000, stretch=2.0, shift=1.6, seed=2)
    deciles = (np.argsort(np.argsort(truth)) * 10 // len(truth)).astype(np.int64)
    before = torch.from_numpy(later)
    tensors = {f"calibration.pcvr.{method.__name__}": method(predicted, happened)}
    found = calibrated({"pctr": before, "pcvr": before, "pctcvr": before**2}, tensors)
    assert torch.equal(found["pctr"], before)
    assert torch.equal(found["pctcvr"], found["pctr"] * found["pcvr"])
    after = found["pcvr"].numpy()
    noise = sum(np.sqrt((truth * (1 - truth))[deciles == decile].sum()) for decile in range(10)) / len(truth)
    assert field_calibration_error(after, outcomes, deciles) < 2 * noise
    assert field_calibration_error(later, outcomes, deciles) > 5 * noise
    assert after.sum() / outcomes.sum() == pytest.approx(1, abs=0.03)
    assert np.abs(after - truth).max() < 0.15


@pytest.mark.parametrize(
    "steps",
    [[[0.3], [0.2]], [[0.3, 0.5], [0.2, 0.2]], [[0.1, 0.2, 0.7], [0.0, 0.4, 0.9]]],
)
def test_the_maps_are_those_of_numpy_and_scipy(steps):
    maps = {
        "calibration.pctr.isotonic": torch.tensor(steps, dtype=torch.float64),
        "calibration.pcvr.platt": torch.tensor([1.3, 0.2], dtype=torch.float64),
    }
    given = np.array([0.0, 1e-15, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.5, 0.7, 0.8, 1.0])
    found = calibrated(dict.fromkeys(("pctr", "pcvr", "pctcvr"), torch.from_numpy(given)), maps)
    pctr, pcvr = np.interp(given, *steps), expit(1.3 * logit(given.clip(1e-12, 1 - 1e-12)) + 0.2)
    for name, expected in {"pctr": pctr, "pcvr": pcvr, "pctcvr": pctr * pcvr}.items():
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-12)


def test_without_maps_nothing_is_touched():
    before = {"pctr": torch.tensor([0.5]), "pcvr": torch.tensor([0.5]), "pctcvr": torch.tensor([0.3])}
    assert calibrated(before, {"table": torch.zeros(1)}) == before


def test_the_error_of_a_field_by_hand():
    """Value 0: 0.5 + 0.5 - 1 = 0; value 1: 0.2 - 1 = -0.8; value 2: 0.4."""
    predicted, happened = np.array([0.5, 0.5, 0.2, 0.4]), np.array([1.0, 0.0, 1.0, 0.0])
    assert field_calibration_error(predicted, happened, np.array([0, 0, 1, 2])) == pytest.approx(1.2 / 4)
