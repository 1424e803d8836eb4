"""PLE: on each level every task has experts of its own beside shared ones (Tang et al. 2020, RecSys, doi:10.1145/3383313.3412236).

A task's gate mixes its own and the shared experts; the shared gate mixes all and feeds the next level, so the last level has none.
One level is CGC. Letters: I experts that a gate mixes, H width of an expert.
"""

import torch
from torch import Generator, Tensor, nn

from components.model.bottoms.bottom import Axes, Bottom
from components.model.embedding import Embedded
from components.model.encoding import Layout
from components.model.layers import Experts, mix
from components.model_settings import Model

_SHARED = "shared"


class Ple(Bottom):
    """Levels of experts, one after the other."""

    def __init__(self, layout: Layout, tasks: tuple[str, ...], options: Model) -> None:
        """Let the first level read the embeddings, each other the one before."""
        super().__init__(layout, tasks, options)
        sizes = options.ple
        widths = [self.width, *[sizes.expert_width] * (sizes.levels - 1)]
        last = sizes.levels - 1
        self.levels = nn.ModuleList(_Level(width, tasks, options, last=place == last) for place, width in enumerate(widths))
        self.width, self.hidden = sizes.expert_width, sizes.hidden

    def forward(self, embedded: Embedded, noise: Generator | None) -> dict[str, Tensor]:
        """Return each task's mixture on the last level."""
        x = dict.fromkeys((*self.tasks, _SHARED), embedded.flat())
        for level in self.levels:
            x = level(x, noise)
        return x

    def by_field(self) -> dict[str, Axes]:
        """Return the first level's experts and gates, which read the embeddings."""
        linear = (name for name, module in self.levels[0].named_modules() if isinstance(module, nn.Linear))
        return {f"levels.0.{name}.weight": {1: self.reads} for name in linear}


class _Level(nn.Module):
    """The experts and gates of one level."""

    def __init__(self, width: int, tasks: tuple[str, ...], options: Model, *, last: bool) -> None:
        super().__init__()
        sizes = options.ple
        self.own = nn.ModuleDict({task: Experts(width, sizes.own_experts, sizes.expert_width, options) for task in tasks})
        self.shared = Experts(width, sizes.shared_experts, sizes.expert_width, options)
        mixed = dict.fromkeys(tasks, sizes.own_experts + sizes.shared_experts)
        if not last:
            mixed[_SHARED] = len(tasks) * sizes.own_experts + sizes.shared_experts
        self.gates = nn.ModuleDict({name: nn.Linear(width, experts) for name, experts in mixed.items()})
        self.gate_dropout = options.gate_dropout

    def forward(self, x: dict[str, Tensor], noise: Generator | None) -> dict[str, Tensor]:
        """Return what each gate mixes, by task and, where a level follows, `shared`."""
        own = {task: experts(x[task]) for task, experts in self.own.items()}
        shared_BIH = self.shared(x[_SHARED])
        read = {task: (experts_BIH, shared_BIH) for task, experts_BIH in own.items()} | {_SHARED: (*own.values(), shared_BIH)}
        return {name: mix(torch.cat(read[name], dim=1), gate(x[name]), self.gate_dropout, noise) for name, gate in self.gates.items()}
