"""Each loss against its formula in plain probabilities, and what all losses must keep."""

from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import tensor

from components.model.losses import LOSSES, initial_biases, label_columns, loss_terms
from components.model_settings import Model

EXTREMES = [-1e4, -104.0, -17.0, 0.0, 17.0, 104.0, 1e4]
AGED = ("product, aged", "masked, aged", "product_masked, aged")
EVERY = pytest.mark.parametrize("name", [*sorted(LOSSES), *AGED])
STOPPED = {"escm2_ips", "dcmt"}
"""Losses with pCTR as a weight, through which no gradient goes."""
KNOWN_SHARE = [0.9, 0.5, 1.0, 0.5, 0.7, 0.6, 1.0, 0.8]
CLICKED, ACTED, CONVERTED = [0, 0, 1, 1, 1, 1, 1, 0], [0, 0, 0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 1, 1, 1, 0]
LABELS = {"clicked": CLICKED, "acted": ACTED, "converted": CONVERTED, "known_share": KNOWN_SHARE}


def options(name):
    loss, _, aged = name.partition(", ")
    return Model(loss=loss, age_corrected=bool(aged))


def loss_of(name):
    return LOSSES[options(name).loss]


def labels_of(dtype=torch.float64):
    return {name: tensor(column, dtype=dtype) for name, column in LABELS.items()}


def logits_of(name, *, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return {task: 2 * torch.randn(8, dtype=torch.float64, generator=generator) for task in loss_of(name).tasks}


def plain_terms(name, logits):
    """Return the terms by their formulas, on probabilities in numpy."""
    p = {task: 1 / (1 + np.exp(-logit.numpy())) for task, logit in logits.items()}
    y, acted, z = (np.array(column, float) for column in (CLICKED, ACTED, CONVERTED))

    def bce(label, chance, weight=1.0):
        return -(weight * (label * np.log(chance) + (1 - label) * np.log(1 - chance))).mean()

    ctr = {"ctr": bce(y, p["ctr"])}
    if name == "esm2":
        pcvr = p["action"] * p["acted_cvr"] + (1 - p["action"]) * p["other_cvr"]
        return {**ctr, "ctavr": bce(y * acted, p["ctr"] * p["action"]), "ctcvr": bce(z, p["ctr"] * pcvr)}
    if name == "division":
        return {**ctr, "ctcvr": bce(z, p["ctcvr"])}
    name, _, aged = name.partition(", ")
    share = np.array(KNOWN_SHARE) if aged else 1.0
    masked, product = bce(z, p["cvr"] * share, y), p["ctr"] * p["cvr"]
    if name == "split_kl":
        pairs = [(product, p["ctcvr"]), (p["ctcvr"], product)]
        kl = sum((a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))).mean() for a, b in pairs)
        return {**ctr, "masked_cvr": masked, "ctcvr": bce(z, p["ctcvr"]), "kl": kl}
    if name in STOPPED:
        return {**ctr, "ctcvr": bce(z, product), **weighted_terms(name, p, y, z)}
    return {
        "product": {**ctr, "ctcvr": bce(z, product * share)},
        "masked": {**ctr, "masked_cvr": masked},
        "product_masked": {**ctr, "ctcvr": bce(z, product * share), "masked_cvr": 2.5 * masked},
    }[name]


def weighted_terms(name, p, y, z):
    """Return, in a loop over the rows, the means weighted by the inverse of the chance to be clicked, or not to be."""

    def mean(task, chosen, label, chance):
        weights = [float(one) / max(share, 0.01) for one, share in zip(chosen, chance, strict=True)]
        losses = [-np.log(rate if right else 1 - rate) for rate, right in zip(p[task], label, strict=True)]
        return sum(weight * loss for weight, loss in zip(weights, losses, strict=True)) / sum(weights)

    if name == "escm2_ips":
        return {"weighted_cvr": 0.1 * mean("cvr", y, z, p["ctr"])}
    return {
        "factual": mean("cvr", y, z, p["ctr"]),
        "counterfactual": mean("counterfactual_cvr", 1 - y, 1 - z, 1 - p["ctr"]),
        "prior": 0.001 * np.abs(1 - p["cvr"] - p["counterfactual_cvr"]).mean(),
    }


def test_the_settings_name_the_losses_that_there_are():
    assert set(get_args(Model.model_fields["loss"].annotation)) == set(LOSSES)


@EVERY
def test_the_terms_are_those_of_the_formulas(name):
    logits = logits_of(name)
    found = loss_terms(logits, labels_of(), options(name))
    assert {term: value.item() for term, value in found.items()} == pytest.approx(plain_terms(name, logits))


@pytest.mark.parametrize(
    ("name", "weight", "term"),
    [
        ("product", "ctr_weight", "ctr"),
        ("product", "ctcvr_weight", "ctcvr"),
        ("product_masked", "masked_cvr_weight", "masked_cvr"),
        ("esm2", "ctavr_weight", "ctavr"),
        ("split_kl", "kl_weight", "kl"),
    ],
)
def test_a_weight_scales_its_term_and_no_other(name, weight, term):
    logits, labels = logits_of(name), labels_of()
    once, twice = (loss_terms(logits, labels, Model.model_validate({"loss": name, weight: value})) for value in (1.0, 2.0))
    assert {key: (twice[key] / once[key]).item() for key in once} == pytest.approx({key: 2.0 if key == term else 1.0 for key in once})


@EVERY
def test_gradients_agree_with_finite_differences(name):
    logits = logits_of(name)
    moved = {task: logit.requires_grad_() for task, logit in logits.items() if task != "ctr" or name not in STOPPED}

    def terms(*values):
        return tuple(loss_terms({**logits, **dict(zip(moved, values, strict=True))}, labels_of(), options(name)).values())

    assert torch.autograd.gradcheck(terms, tuple(moved.values()))


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_logits_give_finite_losses_gradients_and_probabilities(name, dtype):
    tasks = loss_of(name).tasks
    grid = torch.cartesian_prod(*[tensor(EXTREMES)] * len(tasks)).to(dtype)
    columns = [column.clone().requires_grad_() for column in grid.unbind(dim=1)]
    logits = dict(zip(tasks, columns, strict=True))
    for clicked, acted, converted in [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1), (1, 1, 1)]:
        ones, shares = torch.ones(len(grid)), torch.linspace(0.003, 1, len(grid))
        labels = {"clicked": clicked * ones, "acted": acted * ones, "converted": converted * ones, "known_share": shares}
        loss = sum(loss_terms(logits, labels, options(name)).values())
        gradients = torch.autograd.grad(loss, columns)
        assert loss.isfinite()
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    scores = loss_of(name).probabilities({task: column.detach().double() for task, column in logits.items()})
    bounded = [scores[score] for score in ("pctr", "pctcvr") + (() if name == "division" else ("pcvr",))]
    assert all(bool(((score >= 0) & (score <= 1)).all()) for score in bounded)


@EVERY
def test_pctcvr_is_the_product_at_every_point(name):
    tasks = loss_of(name).tasks
    grid = torch.cartesian_prod(*[torch.linspace(-9, 9, 7, dtype=torch.float64)] * len(tasks))
    scores = loss_of(name).probabilities(dict(zip(tasks, grid.unbind(dim=1), strict=True)))
    torch.testing.assert_close(scores["pctcvr"], scores["pctr"] * scores["pcvr"], rtol=1e-12, atol=0)


@pytest.mark.parametrize(("name", "tower"), [(name, "cvr") for name in ("masked", "product_masked", "split_kl", *AGED[1:])])
def test_labels_of_impressions_without_a_click_move_nothing_in_the_masked_term(name, tower):
    results = []
    for converted in (CONVERTED, [1, 1, *CONVERTED[2:7], 1]):
        logits = {task: logit.requires_grad_() for task, logit in logits_of(name).items()}
        term = loss_terms(logits, {**labels_of(), "converted": tensor(converted).double()}, options(name))["masked_cvr"]
        results.append((term.item(), torch.autograd.grad(term, logits[tower])[0].tolist()))
    assert results[0] == results[1]
    assert [slope for slope, clicked in zip(results[0][1], CLICKED, strict=True) if not clicked] == [0.0] * 3


def test_other_losses_have_no_form_for_young_labels():
    for name in set(LOSSES) - {aged.partition(", ")[0] for aged in AGED}:
        with pytest.raises(ValidationError, match=f"age_corrected: expected one of the losses product, masked, .* found {name}"):
            Model(loss=name, age_corrected=True)


def test_esm2_by_hand():
    """y1 = 1/2, y2 = 1/4, y3 = 4/5, y4 = 1/10: pCVR = 1/5 + 3/40 = 11/40."""
    odds = {"ctr": 1.0, "action": 1 / 3, "acted_cvr": 4.0, "other_cvr": 1 / 9}
    scores = LOSSES["esm2"].probabilities({task: tensor([np.log(value)]) for task, value in odds.items()})
    assert {name: score.item() for name, score in scores.items()} == pytest.approx({"pctr": 0.5, "pcvr": 0.275, "pctcvr": 0.1375})


def test_esm2s_paths_that_convert_alike_are_esmm():
    """Where an action says nothing about the purchase, y3 = y4, the conversion term is the product loss."""
    a, b, action = (logits_of("esm2")[task] for task in ("ctr", "acted_cvr", "action"))
    ours = loss_terms({"ctr": a, "action": action, "acted_cvr": b, "other_cvr": b}, labels_of(), Model(loss="esm2"))
    assert ours["ctcvr"].item() == pytest.approx(loss_terms({"ctr": a, "cvr": b}, labels_of(), Model(age_corrected=False))["ctcvr"].item())


def test_the_bound_is_zero_where_the_heads_agree_and_pulls_them_together_elsewhere():
    a, b = tensor([0.3, -1.0]).double(), tensor([-0.5, 2.0]).double()
    joint = torch.sigmoid(a) * torch.sigmoid(b)
    agreed = joint.logit().requires_grad_()
    labels = {"clicked": torch.ones(2).double(), "converted": torch.zeros(2).double()}

    def bound(c):
        return loss_terms({"ctr": a, "cvr": b, "ctcvr": c}, labels, Model(loss="split_kl"))["kl"]

    assert bound(agreed).item() == pytest.approx(0, abs=1e-12)
    above = (agreed.detach() + 0.5).requires_grad_()
    assert (torch.autograd.grad(bound(above), above)[0] > 0).all()


def test_a_quotient_above_one_is_not_capped():
    scores = LOSSES["division"].probabilities({"ctr": tensor([0.0]), "ctcvr": tensor([np.log(3.0)])})
    assert {name: score.item() for name, score in scores.items()} == pytest.approx({"pctr": 0.5, "pcvr": 1.5, "pctcvr": 0.75})


@EVERY
def test_the_initial_biases_are_the_log_odds_of_the_smoothed_rates(name):
    """Of 8 impressions 5 are clicked; of those 3 acted on, 2 of which convert, and 2 not, 1 of which converts."""
    smoothed = {
        "ctr": 6 / 10,
        "cvr": 4 / 7,
        "ctcvr": 4 / 10,
        "action": 4 / 7,
        "acted_cvr": 3 / 5,
        "other_cvr": 2 / 4,
        "counterfactual_cvr": 3 / 7,
    }
    expected = {task: np.log(smoothed[task] / (1 - smoothed[task])) for task in loss_of(name).tasks}
    assert initial_biases(labels_of(), options(name)) == pytest.approx(expected)


@EVERY
def test_a_loss_reads_the_labels_that_it_names(name):
    labels = {column: labels_of()[column] for column in label_columns(options(name))}
    assert loss_terms(logits_of(name), labels, options(name)).keys() == plain_terms(name, logits_of(name)).keys()
    assert initial_biases(labels, options(name)).keys() == set(loss_of(name).tasks)


def test_a_regression_counts_the_rows_that_have_a_value():
    options = Model.model_validate({"age_corrected": False, "regressions": [{"name": "dwell", "column": "dwell_s", "weight": 0.5}]})
    predicted = tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    logits = {"ctr": torch.zeros(4), "cvr": torch.zeros(4), "dwell": predicted}
    labels = {"clicked": torch.zeros(4), "converted": torch.zeros(4), "dwell_s": tensor([2.0, float("nan"), 0.0, float("nan")])}
    term = loss_terms(logits, labels, options)["dwell"]
    assert term.item() == pytest.approx(0.5 * (1 + 9) / 4)
    assert torch.autograd.grad(term, predicted)[0].tolist() == pytest.approx([0.5 * 2 * -1 / 4, 0, 0.5 * 2 * 3 / 4, 0])
    assert initial_biases(labels, options)["dwell"] == 1.0
    assert initial_biases({**labels, "dwell_s": torch.full((4,), torch.nan)}, options)["dwell"] == 0.0
    assert label_columns(options) == ("clicked", "converted", "dwell_s")


def test_half_precision_logits_lose_nothing_in_the_loss():
    logits = {task: tensor([-8.0, 5.5]).bfloat16() for task in ("ctr", "cvr")}
    labels = {"clicked": tensor([0.0, 1.0]), "converted": tensor([0.0, 1.0])}
    options, exact = Model(age_corrected=False), {task: logit.float() for task, logit in logits.items()}
    half, whole = (loss_terms(given, labels, options) for given in (logits, exact))
    assert {name: term.item() for name, term in half.items()} == {name: term.item() for name, term in whole.items()}
