"""The layers that bottoms and towers are made of, and their drop-out, whose noise comes from a generator that the caller seeds.

Letters: B samples, I experts, H width of an expert.
"""

from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from components.model_settings import Layers, Model


def hidden_layers(width: int, hidden: Layers, options: Model) -> nn.Sequential:
    """Return `width`-hidden-..., each layer with its activation."""
    stack = nn.Sequential()
    for before, after in pairwise((width, *hidden)):
        stack.extend([nn.Linear(before, after), activation(options)])
    return stack


def tower(width: int, hidden: Layers, options: Model) -> nn.Sequential:
    """Return `width`-hidden-...-1, the last without an activation."""
    return hidden_layers(width, hidden, options).append(Output((width, *hidden)[-1], 1))


class Output(nn.Linear):
    """A last layer, in float32 whatever the others are in: between two powers of 2 bfloat16 has 128 numbers, too few for a logit."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x W + b."""
        if not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


def activation(options: Model) -> nn.Module:
    """Return the activation that the settings name."""
    return nn.ReLU() if options.activation == "relu" else nn.PReLU()


def he_uniform(module: nn.Module, generator: Generator) -> None:
    """Draw the weights of all linear layers (He et al. 2015, arXiv:1502.01852); biases are 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def drop_out(x: Tensor, rate: float, noise: Generator | None) -> Tensor:
    """Put each number to 0 with probability `rate` and scale the others so that the mean stays; nothing where there is no noise."""
    if noise is None or rate == 0:
        return x
    return x * (torch.rand(x.shape, generator=noise) >= rate) / (1 - rate)


class Experts(nn.Module):
    """Experts of one layer each, computed as one matrix product."""

    def __init__(self, width: int, number: int, expert_width: int, options: Model) -> None:
        """Let `number` experts read `width` numbers."""
        super().__init__()
        self.layer = nn.Linear(width, number * expert_width)
        self.activation = activation(options)
        self.number = number

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return experts_BIH."""
        experts_BIH: Tensor = self.activation(self.layer(x_BD)).view(len(x_BD), self.number, -1)
        return experts_BIH


def mix(experts_BIH: Tensor, gate_BI: Tensor, rate: float, noise: Generator | None) -> Tensor:
    """Return mixed_BH: the experts weighted by the softmax of their gate's logits.

    With noise each expert is shut out with probability `rate` and the softmax is over the rest; over all where none is left.
    Source: Zhao et al. 2019, RecSys (gates that would otherwise collapse onto one expert).
    """
    if noise is not None and rate > 0:
        open_BI = torch.rand(gate_BI.shape, generator=noise) >= rate
        gate_BI = gate_BI.masked_fill(~(open_BI | ~open_BI.any(dim=1, keepdim=True)), -torch.inf)
    return (gate_BI.softmax(dim=1).unsqueeze(1) @ experts_BIH).squeeze(1)
