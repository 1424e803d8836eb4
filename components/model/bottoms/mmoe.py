"""MMoE: experts that all tasks share, mixed by a gate of each task (Ma et al. 2018, KDD, doi:10.1145/3219819.3220007).

task k reads sum_i softmax(W_k x)_i expert_i(x).  Letters: I experts, H width of an expert.
"""

from torch import Generator, Tensor, nn

from components.model.bottoms.bottom import Axes, Bottom
from components.model.embedding import Embedded
from components.model.encoding import Layout
from components.model.layers import Experts, mix
from components.model_settings import Model


class Mmoe(Bottom):
    """Experts and gates."""

    def __init__(self, layout: Layout, tasks: tuple[str, ...], options: Model) -> None:
        """Set experts and gates beside each other: both read the embeddings."""
        super().__init__(layout, tasks, options)
        sizes = options.mmoe
        self.experts = Experts(self.width, sizes.experts, sizes.expert_width, options)
        self.gates = nn.ModuleDict({task: nn.Linear(self.width, sizes.experts) for task in tasks})
        self.gate_dropout = options.gate_dropout
        self.width, self.hidden = sizes.expert_width, sizes.hidden

    def forward(self, embedded: Embedded, noise: Generator | None) -> dict[str, Tensor]:
        """Return each task's mixture of the experts."""
        x_BD = embedded.flat()
        experts_BIH = self.experts(x_BD)
        return {task: mix(experts_BIH, gate(x_BD), self.gate_dropout, noise) for task, gate in self.gates.items()}

    def by_field(self) -> dict[str, Axes]:
        """Return experts and gates, which read the embeddings."""
        return {"experts.layer.weight": {1: self.reads}, **{f"gates.{task}.weight": {1: self.reads} for task in self.tasks}}
