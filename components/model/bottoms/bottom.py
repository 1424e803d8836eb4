"""What every bottom is: the part of the network between a batch's embeddings and the towers.

Letters of all bottoms: B samples, F fields, W embedding width, D = F * W; others are explained where they are used.
"""

from collections.abc import Iterable, Mapping

from torch import Generator, Tensor, nn

from components.model.embedding import Embedded
from components.model.encoding import Layout
from components.model.layers import he_uniform
from components.model_fields import ModelField
from components.model_settings import Layers, Model

Parts = tuple[tuple[str, int], ...]
"""What the numbers along an axis are of, one after the other: a field's name and how many; without a name: of no field alone."""
Axes = Mapping[int, Parts]
"""Parts of the axes of a parameter that fields decide. One of two axes has a number for each pair, above the diagonal."""


class Bottom(nn.Module):
    """Turns embeddings into what each task's tower reads."""

    table_width: int
    """Numbers in a row of the embedding table."""
    width: int
    """Numbers that each tower reads."""
    hidden: Layers
    """Hidden layers of each tower."""
    reads: Parts
    """The embeddings side by side, field by field."""

    def __init__(self, layout: Layout, tasks: tuple[str, ...], options: Model) -> None:
        """Serve these tasks; a bottom has ESMM's table and towers unless it says otherwise."""
        super().__init__()
        self.tasks = tasks
        self.table_width = options.embedding_width
        self.width = len(layout.fields) * options.embedding_width
        self.hidden = options.hidden
        self.reads = each(layout.ordered, options.embedding_width)

    def forward(self, embedded: Embedded, noise: Generator | None) -> dict[str, Tensor]:
        """Return the tower's input, (B, width), by task. noise: what drop-out draws from; None: no drop-out."""
        raise NotImplementedError

    def by_field(self) -> dict[str, Axes]:
        """Return the axes that fields decide, of the parameters that have any: what becomes of them where fields come, go or move."""
        return {}

    def tower_reads(self) -> Parts:
        """Return what each tower reads."""
        return (("", self.width),)

    def initialise(self, generator: Generator) -> None:
        """Draw the parameters."""
        he_uniform(self, generator)


def each(fields: Iterable[ModelField], numbers: int) -> Parts:
    """Return the parts of an axis on which every field has so many numbers."""
    return tuple((field.name, numbers) for field in fields)
