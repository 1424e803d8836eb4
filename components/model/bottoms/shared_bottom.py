"""Shared bottom: the first layers are all tasks', the towers follow (Caruana 1997; Meituan splits at the last hidden layer)."""

from torch import Generator, Tensor

from components.model.bottoms.bottom import Axes, Bottom
from components.model.embedding import Embedded
from components.model.encoding import Layout
from components.model.layers import hidden_layers
from components.model_settings import Model


class SharedBottom(Bottom):
    """One stack of layers for all tasks."""

    def __init__(self, layout: Layout, tasks: tuple[str, ...], options: Model) -> None:
        """Stack the shared layers."""
        super().__init__(layout, tasks, options)
        self.layers = hidden_layers(self.width, options.shared_bottom.layers, options)
        self.width, self.hidden = options.shared_bottom.layers[-1], options.shared_bottom.hidden

    def forward(self, embedded: Embedded, noise: Generator | None) -> dict[str, Tensor]:  # noqa: ARG002  # no drop-out here
        """Return the last shared layer for all tasks."""
        return dict.fromkeys(self.tasks, self.layers(embedded.flat()))

    def by_field(self) -> dict[str, Axes]:
        """Return the first layer, which reads the embeddings."""
        return {"layers.0.weight": {1: self.reads}}
