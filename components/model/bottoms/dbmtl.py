"""DBMTL: the later tasks also read what the click task made of the embeddings (Wang et al. 2019, arXiv:1902.09154).

p(click | x) p(conversion | click, x): the conversion's layers read x and the click's last hidden layer. A task's layers are its
bottom here, its tower the output alone.
"""

import torch
from torch import Generator, Tensor, nn

from components.model.bottoms.bottom import Axes, Bottom
from components.model.embedding import Embedded
from components.model.encoding import Layout
from components.model.layers import hidden_layers
from components.model_settings import Model


class Dbmtl(Bottom):
    """Layers for each task; those of the first are read by the others."""

    def __init__(self, layout: Layout, tasks: tuple[str, ...], options: Model) -> None:
        """Give each task its layers."""
        super().__init__(layout, tasks, options)
        widths = {task: self.width + (options.hidden[-1] if task != tasks[0] else 0) for task in tasks}
        self.layers = nn.ModuleDict({task: hidden_layers(width, options.hidden, options) for task, width in widths.items()})
        self.width, self.hidden = options.hidden[-1], ()

    def forward(self, embedded: Embedded, noise: Generator | None) -> dict[str, Tensor]:  # noqa: ARG002  # no drop-out here
        """Return each task's last hidden layer."""
        x_BD = embedded.flat()
        first, *others = self.tasks
        first_BH = self.layers[first](x_BD)
        read = torch.cat([x_BD, first_BH], dim=1)
        return {first: first_BH, **{task: self.layers[task](read) for task in others}}

    def by_field(self) -> dict[str, Axes]:
        """Return each task's first layer: behind the embeddings, the later tasks' reads the click's."""
        first, *others = self.tasks
        behind = {first: self.reads, **dict.fromkeys(others, (*self.reads, ("", self.width)))}
        return {f"layers.{task}.0.weight": {1: parts} for task, parts in behind.items()}
