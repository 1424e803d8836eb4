"""Optimisers and their state: row-wise Adagrad for the embedding table, Adam for everything else.

Letters: V rows of the table, U rows touched by a batch, T embeddings side by side in a row (1; with separate_embedding one a task),
R = V * T embeddings, W embedding width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPSILON = 1e-8
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class RowwiseAdagrad:
    """Adagrad with one accumulator per embedding: the running sum of the mean square of its gradient (as in FBGEMM and TorchRec)."""

    def __init__(self, accumulator_R: Tensor, learning_rate: float) -> None:
        """Go on from an accumulator, which is updated in place."""
        self.accumulator_R = accumulator_R
        self.learning_rate = learning_rate

    @torch.no_grad()
    def step(self, table_VX: Tensor, rows_U: Tensor, leaf_UX: Tensor) -> Tensor:
        """Move the touched rows of the table against the gradient of `leaf`, which holds their values; no other row is read or written.

        X = T * W numbers are in a row. Returns the rows as they are now, (U, X).
        """
        if leaf_UX.grad is None:
            raise ValueError("leaf: expected a gradient, found none; call backward() first")
        accumulator_VT = self.accumulator_R.view(len(table_VX), -1)
        gradient_UTW = leaf_UX.grad.view(len(rows_U), accumulator_VT.shape[1], -1)
        accumulated_UT = functional.embedding(rows_U, accumulator_VT) + gradient_UTW.square().mean(dim=2)
        accumulator_VT.index_copy_(0, rows_U, accumulated_UT)
        move_UTW = gradient_UTW * (self.learning_rate / (accumulated_UT.sqrt() + _EPSILON)).unsqueeze(2)
        moved_UX = leaf_UX - move_UTW.flatten(start_dim=1)
        table_VX.index_copy_(0, rows_U, moved_UX)
        return moved_UX


def adam(network: nn.Module, learning_rate: float, state: dict[str, Tensor]) -> torch.optim.Adam:
    """Return Adam (0.9, 0.999, 1e-8) over a network's parameters, going on from copies of the state; an empty state starts afresh."""
    names = [name for name, _ in network.named_parameters()]
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True)
    if state:
        moments = {place: {part: state[f"adam.{name}.{part}"].clone() for part in _MOMENTS} for place, name in enumerate(names)}
        optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return optimiser


def adam_state(network: nn.Module, optimiser: torch.optim.Adam) -> dict[str, Tensor]:
    """Return Adam's state as named tensors."""
    return {f"adam.{name}.{part}": optimiser.state[parameter][part] for name, parameter in network.named_parameters() for part in _MOMENTS}
