"""ESMM: every tower reads the concatenated embeddings, which all share (Ma et al. 2018, arXiv:1804.07931)."""

from torch import Generator, Tensor

from components.model.bottoms.bottom import Bottom, Parts
from components.model.embedding import Embedded


class SharedEmbedding(Bottom):
    """One table, and nothing between it and the towers."""

    def forward(self, embedded: Embedded, noise: Generator | None) -> dict[str, Tensor]:  # noqa: ARG002  # no drop-out here
        """Return x_BD for all tasks."""
        return dict.fromkeys(self.tasks, embedded.flat())

    def tower_reads(self) -> Parts:
        """Return the embeddings: the towers are the first to read them."""
        return self.reads
