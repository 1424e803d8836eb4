"""ESMM-NS: each task has embeddings of its own (Ma et al. 2018, arXiv:1804.07931); with it no parameter is shared.

With the loss `masked` this is the paper's BASE, with `division` its DIVISION.
"""

from torch import Generator, Tensor

from components.model.bottoms.bottom import Bottom, Parts
from components.model.embedding import Embedded
from components.model.encoding import Layout
from components.model_settings import Model


class SeparateEmbedding(Bottom):
    """A table for each task, side by side: a row holds the T embeddings of an id, each with its own step size."""

    def __init__(self, layout: Layout, tasks: tuple[str, ...], options: Model) -> None:
        """Widen the table."""
        super().__init__(layout, tasks, options)
        self.table_width = len(tasks) * options.embedding_width

    def forward(self, embedded: Embedded, noise: Generator | None) -> dict[str, Tensor]:  # noqa: ARG002  # no drop-out here
        """Return each task's own x_BD."""
        parts = embedded.x_BFW.chunk(len(self.tasks), dim=2)
        return {task: x_BFW.flatten(start_dim=1) for task, x_BFW in zip(self.tasks, parts, strict=True)}

    def tower_reads(self) -> Parts:
        """Return the embeddings of a task."""
        return self.reads
