import numpy as np
import torch
from torch import nn

from components.train.optimisers import RowwiseAdagrad, adam, adam_state


def test_rowwise_adagrad_equals_the_plain_loop():
    generator = torch.Generator().manual_seed(2)
    table = torch.randn(5, 3, generator=generator)
    rows, sums = table.double().numpy().copy(), np.zeros(5)
    optimiser = RowwiseAdagrad(torch.zeros(5), 0.1)
    for touched in ([0, 3], [3], [4, 0]):
        gradient = torch.randn(len(touched), 3, generator=generator)
        leaf = table[touched].requires_grad_()
        leaf.grad = gradient
        optimiser.step(table, torch.tensor(touched), leaf)
        for row, slope in zip(touched, gradient.double().numpy(), strict=True):
            sums[row] += (slope**2).mean()
            rows[row] -= 0.1 * slope / (np.sqrt(sums[row]) + 1e-8)
    np.testing.assert_allclose(table.numpy(), rows, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(optimiser.accumulator_R.numpy(), sums, rtol=1e-6)


def test_a_row_without_a_slope_stays():
    table = torch.ones(2, 3)
    leaf = table[[0]].requires_grad_()
    leaf.grad = torch.zeros(1, 3)
    RowwiseAdagrad(torch.zeros(2), 0.1).step(table, torch.tensor([0]), leaf)
    assert torch.equal(table, torch.ones(2, 3))


def test_adam_goes_on_from_its_saved_state():
    def step(network, optimiser):
        optimiser.zero_grad()
        network(torch.ones(1, 2)).square().sum().backward()
        optimiser.step()

    straight = nn.Linear(2, 2)
    resumed = nn.Linear(2, 2)
    resumed.load_state_dict(straight.state_dict())
    first, second = adam(straight, 0.01, {}), adam(resumed, 0.01, {})
    for _ in range(3):
        step(straight, first)
        step(resumed, second)
        second = adam(resumed, 0.01, adam_state(resumed, second))
    assert torch.equal(straight.weight, resumed.weight)
    assert adam_state(resumed, second)["adam.weight.step"].item() == 3


def test_embeddings_side_by_side_move_as_if_each_had_its_own_table():
    generator = torch.Generator().manual_seed(2)
    table = torch.randn(5, 6, generator=generator)
    alone = [table[:, :3].clone(), table[:, 3:].clone()]
    both, each = RowwiseAdagrad(torch.zeros(10), 0.1), [RowwiseAdagrad(torch.zeros(5), 0.1) for _ in alone]
    for touched in ([0, 3], [3], [4, 0]):
        gradient = torch.randn(len(touched), 6, generator=generator) * torch.tensor([1.0, 1, 1, 100, 100, 100])
        leaf = table[touched].requires_grad_()
        leaf.grad = gradient
        both.step(table, torch.tensor(touched), leaf)
        for place, (part, optimiser) in enumerate(zip(alone, each, strict=True)):
            leaf = part[touched].requires_grad_()
            leaf.grad = gradient[:, 3 * place : 3 * place + 3].clone()
            optimiser.step(part, torch.tensor(touched), leaf)
    torch.testing.assert_close(table, torch.cat(alone, dim=1), rtol=0, atol=0)
    torch.testing.assert_close(both.accumulator_R, torch.stack([optimiser.accumulator_R for optimiser in each], dim=1).flatten())
