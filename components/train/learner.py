"""A network with its optimisers: what changes while it trains, and how one batch changes it."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Generator, Tensor

from components.checkpoints import Checkpoint
from components.model.embedding import RowIndex, embed
from components.model.encoding import Layout
from components.model.losses import loss_terms
from components.model.network import Network
from components.model.restore import restore
from components.settings import Settings
from components.train.batches import Labelled
from components.train.faults import Fault, fault_of_gradients, fault_of_loss, fault_of_parameters, fault_of_table
from components.train.optimisers import RowwiseAdagrad, adam, adam_state

_ACCUMULATOR = "table.accumulator"


class Learner:
    """Trains one network. Tensors it was given are copied, never written to."""

    def __init__(self, network: Network, optimizer: dict[str, Tensor], layout: Layout, settings: Settings) -> None:
        """Go on from an optimizer state; an empty one starts afresh."""
        accumulator = optimizer[_ACCUMULATOR].clone() if optimizer else torch.zeros(network.table.numel() // settings.model.embedding_width)
        self.network = network
        self.parameters = dict(network.named_parameters())
        self.layout = layout
        self.options = settings.model
        self.noise = Generator()
        """What drop-out draws from; whoever trains seeds it."""
        self.rows = RowIndex(layout.rows)
        self.adagrad = RowwiseAdagrad(accumulator, settings.train.table_learning_rate)
        self.adam = adam(network, settings.train.learning_rate, optimizer)

    @classmethod
    def new(cls, layout: Layout, settings: Settings, biases: Mapping[str, float]) -> "Learner":
        """Start cold, from the seed; biases: what each tower predicts at first."""
        network = Network(layout, settings.model)
        network.initialise(Generator().manual_seed(settings.train.seed), biases)
        return cls(network, {}, layout, settings)

    @classmethod
    def resume(cls, parent: Checkpoint, layout: Layout, settings: Settings) -> "Learner":
        """Go on from a checkpoint; raises CheckpointError where it does not fit."""
        copy = Checkpoint({name: tensor.clone() for name, tensor in parent.model.items()}, {}, parent.manifest)
        return cls(restore(copy, layout, settings.model), parent.optimizer, layout, settings)

    def losses(self, table_RW: Tensor, batch: Labelled) -> dict[str, Tensor]:
        """Return the terms of the loss on a batch whose ids index `table`."""
        logits = self.network(embed(table_RW, batch.samples, self.layout), batch.places_B, self.noise)
        return loss_terms(logits, batch.labels, self.options)

    def step(self, batch: Labelled) -> dict[str, float] | Fault:
        """Train on one batch and return the terms of its loss, or what is not finite.

        Where that is the loss or a gradient, nothing has changed; where it is a parameter, the update made it so.
        """
        touched = self.rows.touched(batch.samples)
        rows_U = torch.from_numpy(touched.rows_U)
        leaf_UX = self.network.table[rows_U].requires_grad_()
        renumbered, noise = replace(batch, samples=touched.samples), self.noise.get_state()
        terms = self.losses(leaf_UX, renumbered)
        loss = torch.stack(list(terms.values())).sum()
        if not loss.isfinite():
            rerun = partial(self._rerun, noise, leaf_UX, renumbered)
            return fault_of_loss(self.network, leaf_UX, touched.samples, self.layout, rerun)
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        if fault := fault_of_gradients(self.parameters, leaf_UX, touched.samples, self.layout):
            return fault
        self.adam.step()
        moved_UX = self.adagrad.step(self.network.table, rows_U, leaf_UX)
        fault = fault_of_parameters(self.parameters, moved_UX, touched.samples, self.layout)
        return fault or {name: term.item() for name, term in terms.items()}

    def _rerun(self, noise: Tensor, table_RW: Tensor, batch: Labelled) -> None:
        self.noise.set_state(noise)
        self.losses(table_RW, batch)

    def unread_fault(self) -> Fault | None:
        """Return what is not finite in the table, rows that no batch has touched included."""
        return fault_of_table(self.network.table, self.layout)

    def tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the model's and the optimisers' tensors."""
        model = {name: tensor.detach() for name, tensor in self.network.state_dict().items()}
        return model, {_ACCUMULATOR: self.adagrad.accumulator_R, **adam_state(self.network, self.adam)}
