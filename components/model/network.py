"""The network: the embedding table, a bottom, one tower for each task, and a position tower where it is asked for.

Letters: B samples, R rows of the embedding table. The bottom, the loss (whose tasks the towers are) and the heads are chosen by
name in the settings. A task's tower returns a logit, that of a regression the number itself.
"""

from collections.abc import Mapping

from torch import Generator, Tensor, nn

from components.model.attention import TargetAttention
from components.model.bottoms import BOTTOMS
from components.model.embedding import Embedded
from components.model.encoding import Layout
from components.model.layers import he_uniform, tower
from components.model.losses import LOSSES
from components.model.memory import zeros
from components.model.position import PositionTower, missing_places
from components.model_settings import Model

EMBEDDING_STD = 0.01
"""From 0.001 to 0.05 the real sets' AUCs agree within seed noise."""


class Network(nn.Module):
    """The parts and how they are joined. The table is a buffer: it never has a gradient, only rows taken from it do."""

    table: Tensor

    def __init__(self, layout: Layout, options: Model) -> None:
        """Allocate; `initialise` or `load_state_dict` gives values."""
        super().__init__()
        self.tasks = (*LOSSES[options.loss].tasks, *(head.name for head in options.regressions))
        self.bottom = BOTTOMS[options.bottom](layout, self.tasks, options)
        self.register_buffer("table", zeros(layout.rows, self.bottom.table_width))
        self.attention = TargetAttention(layout, self.bottom.table_width, options)
        self.towers = {task: tower(self.bottom.width, self.bottom.hidden, options) for task in self.tasks}
        for task, layers in self.towers.items():
            self.add_module(f"{task}_tower", layers)
        self.position_tower = PositionTower(options.position_buckets) if options.position_tower else None

    def forward(self, embedded: Embedded, places_B: Tensor | None = None, noise: Generator | None = None) -> dict[str, Tensor]:
        """Return each task's logit_B, by task.

        places_B: the impressions' positions (`position.places`); None: not known. noise: what drop-out draws from; None: no drop-out.
        """
        return self.logits(self.bottom(self.attention(embedded), noise), places_B)

    def logits(self, inputs: Mapping[str, Tensor], places_B: Tensor | None = None) -> dict[str, Tensor]:
        """Return each task's logit_B, by task, from what the towers read."""
        logits = {task: layers(inputs[task]).squeeze(-1) for task, layers in self.towers.items()}
        if self.position_tower is not None:
            known_B = missing_places(len(logits["ctr"])) if places_B is None else places_B
            logits["ctr"] = logits["ctr"] + self.position_tower(known_B)
        return logits

    def initialise(self, generator: Generator, biases: Mapping[str, float]) -> None:
        """Draw small embeddings, then the bottom and He-uniform towers with these output biases (a tower starts calibrated)."""
        self.table.normal_(std=EMBEDDING_STD, generator=generator)
        self.bottom.initialise(generator)
        self.attention.initialise(generator)
        for task, layers in self.towers.items():
            he_uniform(layers, generator)
            nn.init.constant_(layers[-1].get_parameter("bias"), biases[task])
        if self.position_tower is not None:
            self.position_tower.initialise()
