import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from components.errors import UndefinedMetricError
from components.evaluate.auc import auc_difference, auc_interval, placements

Z = 1.959963984540054  # two-sided 95 %


def brute_force_kernel(positive, score):
    """DeLong's psi for every (positive, negative) pair: 1 where the positive is above, 1/2 where equal."""
    above = score[positive][:, None]
    below = score[~positive][None, :]
    return (above > below) + 0.5 * (above == below)


def brute_force_delong(positive, scores):
    """AUCs and their covariance matrix from the structural components' definition."""
    kernels = [brute_force_kernel(positive, score) for score in scores]
    by_positive = np.array([kernel.mean(axis=1) for kernel in kernels])
    by_negative = np.array([kernel.mean(axis=0) for kernel in kernels])
    covariance = np.cov(by_positive) / by_positive.shape[1] + np.cov(by_negative) / by_negative.shape[1]
    return np.array([kernel.mean() for kernel in kernels]), covariance


def holdout(seed, *, rows=300, decimals=1, shift=1.0):
    """Return labels and two correlated scores with many ties."""
    generator = np.random.default_rng(seed)
    positive = generator.random(rows) < 0.2
    shared = generator.normal(size=rows) + shift * positive
    scores = [np.round(shared + 0.5 * generator.normal(size=rows), decimals) for _ in range(2)]
    return positive, scores


@pytest.mark.parametrize(
    ("labels", "scores", "auc"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 1.0),
        ([0, 0, 1, 1], [0.4, 0.3, 0.2, 0.1], 0.0),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], 0.5),
        ([0, 0, 1, 1], [0.1, 0.3, 0.3, 0.4], 0.875),
        ([0, 0, 1, 1], [0.1, 0.5, 0.3, 0.4], 0.5),
    ],
)
def test_auc_is_the_share_of_pairs_in_order_with_ties_as_halves(labels, scores, auc):
    assert placements(np.array(labels, dtype=bool), np.array(scores)).auc == auc


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("seed", range(5))
def test_auc_equals_scikit_learn_and_the_pair_count(seed, decimals):
    positive, (score, _) = holdout(seed, decimals=decimals)
    found = placements(positive, score).auc
    assert found == pytest.approx(roc_auc_score(positive, score), abs=1e-12)
    assert found == pytest.approx(brute_force_kernel(positive, score).mean(), abs=1e-12)


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("seed", range(5))
def test_intervals_equal_delongs_definition(seed, decimals):
    positive, scores = holdout(seed, decimals=decimals)
    aucs, covariance = brute_force_delong(positive, scores)
    first, second = (placements(positive, score) for score in scores)
    own = auc_interval(first, confidence=0.95)
    logit, reach = math.log(aucs[0] / (1 - aucs[0])), Z * math.sqrt(covariance[0, 0]) / (aucs[0] * (1 - aucs[0]))
    assert own.low == pytest.approx(1 / (1 + math.exp(-(logit - reach))), abs=1e-12)
    assert own.high == pytest.approx(1 / (1 + math.exp(-(logit + reach))), abs=1e-12)
    difference = auc_difference(first, second, confidence=0.95)
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert difference.value == pytest.approx(aucs[0] - aucs[1], abs=1e-12)
    assert difference.low == pytest.approx(difference.value - Z * error, abs=1e-9)
    assert difference.high == pytest.approx(difference.value + Z * error, abs=1e-9)


scored_rows = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=40).filter(
    lambda rows: 2 <= sum(row[0] for row in rows) <= len(rows) - 2
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rows=scored_rows)
def test_auc_mirrors_when_scores_or_labels_are_turned_round(rows):
    positive, first, second = (np.array(column) for column in zip(*rows, strict=True))
    score = first / 7
    plain, turned, swapped = (
        auc_interval(placements(*pair), confidence=0.9) for pair in ((positive, score), (positive, -score), (~positive, -score))
    )
    assert (turned.value, turned.low, turned.high) == pytest.approx((1 - plain.value, 1 - plain.high, 1 - plain.low), abs=1e-9)
    assert (swapped.value, swapped.low, swapped.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-9)
    assert 0 <= plain.low <= plain.value <= plain.high <= 1
    ranked = placements(positive, score), placements(positive, second / 7)
    there, back = auc_difference(*ranked, confidence=0.9), auc_difference(*ranked[::-1], confidence=0.9)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-12)


def test_auc_depends_on_the_order_of_scores_alone():
    positive, (score, other) = holdout(3)
    shuffled = np.random.default_rng(0).permutation(len(score))
    plain = auc_interval(placements(positive, score), confidence=0.95)
    assert auc_interval(placements(positive, np.exp(score)), confidence=0.95) == plain
    moved = auc_interval(placements(positive[shuffled], score[shuffled]), confidence=0.95)
    assert (moved.value, moved.low) == (plain.value, pytest.approx(plain.low, abs=1e-12))
    assert auc_interval(placements(positive, other), confidence=0.99).low < auc_interval(placements(positive, other), confidence=0.9).low


def test_equal_rankings_differ_by_exactly_nothing():
    positive, (score, _) = holdout(4)
    difference = auc_difference(placements(positive, score), placements(positive, 2 * score), confidence=0.95)
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_perfect_separation_gets_the_exact_bound_and_not_a_point():
    positive = np.repeat([False, True], [50, 20])
    perfect = auc_interval(placements(positive, np.arange(70.0)), confidence=0.95)
    assert (perfect.value, perfect.high) == (1, 1)
    assert perfect.low**20 == pytest.approx(0.025)
    reverse = auc_interval(placements(positive, -np.arange(70.0)), confidence=0.95)
    assert (reverse.low, reverse.value) == (0, 0)
    assert reverse.high == pytest.approx(1 - perfect.low)


def test_one_constant_score_has_an_auc_of_a_half_for_certain():
    constant = auc_interval(placements(np.array([False, True] * 30), np.full(60, 0.3)), confidence=0.95)
    assert (constant.low, constant.value, constant.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("positives", "negatives", "defined"),
    [(10, 10, True), (9, 90, False), (90, 9, False), (0, 50, False), (50, 0, False), (0, 0, False)],
)
def test_auc_is_undefined_below_the_minimum_of_either_class(positives, negatives, defined):
    positive = np.repeat([True, False], [positives, negatives])
    score = np.linspace(0, 1, positives + negatives)
    if defined:
        assert placements(positive, score, min_positives=10).auc == 0
    else:
        with pytest.raises(UndefinedMetricError, match=r"expected at least 10 (positives|negatives), found \d+ of \d+ rows"):
            placements(positive, score, min_positives=10)


@pytest.mark.parametrize("positives", [1, 2])
def test_a_single_row_of_a_class_has_no_variance_whatever_the_minimum(positives):
    positive = np.repeat([True, False], [positives, 5])
    if positives == 2:
        assert placements(positive, np.arange(7.0), min_positives=1).auc == 0
    else:
        with pytest.raises(UndefinedMetricError, match="at least 2 positives, found 1"):
            placements(positive, np.arange(6.0), min_positives=1)


@pytest.mark.parametrize("fault", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_never_ranked(fault):
    score = np.linspace(0, 1, 20)
    score[3] = fault
    with pytest.raises(UndefinedMetricError, match="found 1 of 20 NaN or infinite"):
        placements(np.arange(20) % 2 == 0, score)


@pytest.mark.parametrize(("auc", "positives", "negatives"), [(0.66, 100, 1000), (0.8, 100, 1000), (0.9, 200, 1000)])
def test_intervals_cover_the_true_auc_as_often_as_they_say(auc, positives, negatives):
    generator = np.random.default_rng(2018)
    positive = np.repeat([True, False], [positives, negatives])
    shift = math.sqrt(2) * _normal_quantile(auc)
    covered = 0
    for _ in range(1500):
        found = auc_interval(placements(positive, generator.normal(size=len(positive)) + shift * positive), confidence=0.95)
        covered += found.low <= auc <= found.high
    assert 0.93 <= covered / 1500 <= 0.97


def test_paired_intervals_cover_the_true_difference_as_often_as_they_say():
    generator = np.random.default_rng(2018)
    positive = np.repeat([True, False], [100, 1000])
    covered = 0
    for _ in range(1500):
        shared = generator.normal(size=len(positive)) + 1.0 * positive
        first, second = (shared + noise * generator.normal(size=len(positive)) for noise in (0.3, 0.6))
        found = auc_difference(placements(positive, first), placements(positive, second), confidence=0.95)
        true = _normal_cdf(1 / math.sqrt(2 * 1.09)) - _normal_cdf(1 / math.sqrt(2 * 1.36))
        covered += found.low <= true <= found.high
    assert 0.93 <= covered / 1500 <= 0.97


def test_two_million_rows_rank_exactly():
    generator = np.random.default_rng(7)
    positive = generator.random(2_000_000) < 0.01
    score = np.round(generator.normal(size=len(positive)) + positive, 4)
    assert placements(positive, score).auc == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


def _normal_quantile(probability):
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)


def _normal_cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))
