import math

import numpy as np
import pytest
from sklearn import metrics

from components.evaluate.calibration import log_loss, pcoc, reliability
from components.evaluate.curves import roc_curve


def holdout(rows=2000, decimals=6, seed=1):
    generator = np.random.default_rng(seed)
    score = np.round(1 / (1 + np.exp(-generator.normal(-1, 1, rows))), decimals)
    return generator.random(rows) < score, score


@pytest.mark.parametrize("seed", range(3))
def test_log_loss_equals_scikit_learn(seed):
    positive, score = holdout(seed=seed)
    assert log_loss(positive, score) == pytest.approx(metrics.log_loss(positive, score), rel=1e-12)


@pytest.mark.parametrize(("labels", "scores", "loss"), [([True], [0.25], math.log(4)), ([False, False], [0.5, 0.5], math.log(2))])
def test_log_loss_needs_no_second_class(labels, scores, loss):
    assert log_loss(np.array(labels), np.array(scores)) == pytest.approx(loss)


@pytest.mark.parametrize("scores", [[], [0.0, 0.5], [0.5, 1.0], [math.nan, 0.5], [1.5, 0.5]])
def test_log_loss_is_undefined_without_rows_or_for_scores_that_are_no_probabilities(scores):
    assert log_loss(np.zeros(len(scores), dtype=bool), np.array(scores)) is None


@pytest.mark.parametrize(
    ("labels", "scores", "ratio"),
    [([1, 0, 0, 0], [0.25] * 4, 1.0), ([1, 1, 0, 0], [0.25] * 4, 0.5), ([0, 0], [0.5] * 2, None), ([1, 0], [math.nan, 0.5], None)],
)
def test_pcoc_is_predicted_over_observed_and_undefined_without_positives(labels, scores, ratio):
    assert pcoc(np.array(labels, dtype=bool), np.array(scores)) == ratio


def test_reliability_bins_hold_equal_counts_and_add_up():
    positive, score = holdout(decimals=12)
    found = reliability(positive, score)["bins"]
    assert [part["rows"] for part in found] == [200] * 10
    assert sum(part["positives"] for part in found) == positive.sum()
    assert sum(part["predicted"] * part["rows"] for part in found) == pytest.approx(score.sum())
    assert [part["predicted"] for part in found] == sorted(part["predicted"] for part in found)


def test_ece_weighs_each_bins_gap_by_its_rows():
    positive = np.array([True, False, True, True])
    found = reliability(positive, np.array([0.1, 0.1, 0.8, 0.8]), bins=2)
    assert [(part["rows"], part["predicted"], part["observed"]) for part in found["bins"]] == [(2, 0.1, 0.5), (2, 0.8, 1.0)]
    assert found["ece"] == pytest.approx(0.5 * 0.4 + 0.5 * 0.2)


def test_equal_scores_share_a_bin_in_any_order_of_rows():
    positive, score = holdout(decimals=1)
    turned = np.random.default_rng(0).permutation(len(score))
    found, again = reliability(positive, score), reliability(positive[turned], score[turned])
    assert [part["rows"] for part in found["bins"]] == [part["rows"] for part in again["bins"]]
    assert len(found["bins"]) < 10
    constant = reliability(positive, np.full(len(score), 0.3))
    assert [part["rows"] for part in constant["bins"]] == [len(score)]


@pytest.mark.parametrize("scores", [[], [0.5, math.nan]])
def test_reliability_has_no_bins_without_finite_rows(scores):
    assert reliability(np.zeros(len(scores), dtype=bool), np.array(scores)) == {"bins": [], "ece": None}


@pytest.mark.parametrize(("rows", "decimals"), [(50, 1), (2000, 6)])
def test_roc_points_lie_on_scikit_learns_curve_and_keep_its_area(rows, decimals):
    positive, score = holdout(rows=rows, decimals=decimals)
    curve = roc_curve(positive, score)
    fpr, tpr, _ = metrics.roc_curve(positive, score, drop_intermediate=False)
    whole = set(zip(np.round(fpr, 12), np.round(tpr, 12), strict=True))
    assert set(zip(np.round(curve["fpr"], 12), np.round(curve["tpr"], 12), strict=True)) <= whole
    assert len(curve["fpr"]) <= 200
    assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0, 0, 1, 1)
    assert metrics.auc(curve["fpr"], curve["tpr"]) == pytest.approx(metrics.roc_auc_score(positive, score), abs=2e-3)


@pytest.mark.parametrize(("labels", "scores"), [([True, True], [0.1, 0.2]), ([False], [0.1]), ([], []), ([True, False], [0.1, math.nan])])
def test_no_roc_curve_with_one_class_or_a_score_that_is_not_finite(labels, scores):
    assert roc_curve(np.array(labels, dtype=bool), np.array(scores)) is None
