import itertools

import numpy as np
import pytest
import torch
from torch import tensor

from components.model.losses.likelihood import ctcvr_loss, ctr_loss, log_not_pctcvr, log_pctcvr, masked_cvr_loss

EXTREMES = [-1e4, -104.0, -88.0, -17.0, 0.0, 17.0, 88.0, 104.0, 1e4]


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def test_three_impressions_by_hand():
    a, b = tensor([0.0, 0.0, 0.0]), tensor([0.0, 0.0, 0.0])  # pCTR = pCVR = 1/2, pCTCVR = 1/4
    clicked, converted = tensor([0.0, 1.0, 1.0]), tensor([0.0, 0.0, 1.0])
    assert ctr_loss(a, clicked).item() == pytest.approx(np.log(2))
    assert ctcvr_loss(a, b, converted).item() == pytest.approx((2 * np.log(4 / 3) + np.log(4)) / 3)
    assert masked_cvr_loss(b, clicked, converted).item() == pytest.approx(2 * np.log(2) / 3)


@pytest.mark.parametrize(("a", "b"), list(itertools.product([-3.0, -0.5, 2.0], repeat=2)))
@pytest.mark.parametrize("converted", [0.0, 1.0])
def test_the_gradient_is_the_product_loss_in_closed_form(a, b, converted):
    logits = [tensor([value], dtype=torch.float64, requires_grad=True) for value in (a, b)]
    ctcvr_loss(*logits, tensor([converted], dtype=torch.float64)).backward()
    p, q = sigmoid(a), sigmoid(b)
    outer = -converted + (1 - converted) * p * q / (1 - p * q)  # d loss / d log(pq)
    assert [logit.grad.item() for logit in logits] == pytest.approx([outer * (1 - p), outer * (1 - q)])


def test_gradients_agree_with_finite_differences():
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randn(6, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2))
    clicked, converted = tensor([0, 0, 1, 1, 1, 1.0]).double(), tensor([0, 0, 0, 0, 1, 1.0]).double()
    assert torch.autograd.gradcheck(lambda a: ctr_loss(a, clicked), (a,))
    assert torch.autograd.gradcheck(lambda a, b: ctcvr_loss(a, b, converted), (a, b))
    assert torch.autograd.gradcheck(lambda b: masked_cvr_loss(b, clicked, converted), (b,))


@pytest.mark.parametrize(("a", "b"), list(itertools.product(EXTREMES, repeat=2)))
@pytest.mark.parametrize("converted", [0.0, 1.0])
def test_extreme_logits_give_finite_losses_and_gradients(a, b, converted):
    a_B, b_B = tensor([a], requires_grad=True), tensor([b], requires_grad=True)
    loss = (
        ctcvr_loss(a_B, b_B, tensor([converted])) + ctr_loss(a_B, tensor([1.0])) + masked_cvr_loss(b_B, tensor([1.0]), tensor([converted]))
    )
    loss.backward()
    assert all(bool(number.isfinite().all()) for number in (loss, a_B.grad, b_B.grad))


def test_the_complement_keeps_its_digits_where_the_product_rounds_to_one():
    a = tensor([40.0])
    assert log_pctcvr(a, a).exp().item() == 1.0
    assert log_not_pctcvr(a, a).item() == pytest.approx(np.log(2) - 40, rel=1e-6)  # 1 - (1 - e)^2 = 2e


def test_product_and_complement_sum_to_one():
    a, b = torch.meshgrid(torch.linspace(-8, 8, 33), torch.linspace(-8, 8, 33), indexing="ij")
    total = log_pctcvr(a.double(), b.double()).exp() + log_not_pctcvr(a.double(), b.double()).exp()
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_labels_of_impressions_without_a_click_move_nothing_in_the_masked_loss():
    b = tensor([0.3, -1.0, 2.0], requires_grad=True)
    clicked = tensor([0.0, 1.0, 0.0])
    results = []
    for converted in (tensor([0.0, 1.0, 0.0]), tensor([1.0, 1.0, 1.0])):
        loss = masked_cvr_loss(b, clicked, converted)
        results.append((loss.item(), torch.autograd.grad(loss, b)[0].tolist()))
    assert results[0] == results[1]
    assert results[0][1][0] == results[0][1][2] == 0.0
