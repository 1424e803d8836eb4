"""A network with its optimisers: what changes while it trains, and how one batch changes it."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Generator, Tensor
from torch.nn import functional

from components.checkpoints import Checkpoint
from components.model.embedding import embed
from components.model.encoding import Layout
from components.model.losses import loss_terms
from components.model.memory import copied, moved, zeros
from components.model.network import EMBEDDING_STD, Network
from components.model.precision import layers_in
from components.model.restore import restore
from components.settings import Settings
from components.train.admission import Admitted
from components.train.batches import Batch
from components.train.faults import Fault, fault_of_gradients, fault_of_loss, fault_of_parameters, fault_of_table
from components.train.optimisers import RowwiseAdagrad, adam, adam_state

_ACCUMULATOR = "table.accumulator"
_ROOM = 4
"""One more for so many rows: what a table that grows has ready, so that it is seldom copied."""


class Learner:
    """Trains one network. Tensors it was given are copied, never written to."""

    def __init__(self, network: Network, optimizer: dict[str, Tensor], layout: Layout, settings: Settings) -> None:
        """Go on from an optimizer state; an empty one starts afresh."""
        accumulator = copied(optimizer[_ACCUMULATOR]) if optimizer else zeros(network.table.numel() // settings.model.embedding_width)
        self.network = network
        self.parameters = dict(network.named_parameters())
        self.layout = layout
        self.options = settings.model
        self.precision = settings.train.precision
        self.noise = Generator()
        """What drop-out draws from; whoever trains seeds it."""
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
        copy = Checkpoint({name: copied(tensor) for name, tensor in parent.model.items()}, {}, parent.manifest)
        return cls(restore(copy, layout, settings.model), parent.optimizer, layout, settings)

    def grow(self, pool: int) -> None:
        """Let the table have a pool of so many rows, where it has fewer; `renew` gives values to new ones."""
        if pool <= self.layout.pool:
            return
        per_row = len(self.adagrad.accumulator_R) // len(self.network.table)
        self.layout = replace(self.layout, pool=pool)
        self.network.table = with_room(self.network.table, self.layout.rows)
        self.adagrad.accumulator_R = with_room(self.adagrad.accumulator_R, self.layout.rows * per_row)

    def renew(self, ids: Admitted, seed: int) -> None:
        """Begin the rows of ids anew: drawn from (seed, id), with no optimizer state."""
        table, rows_U = self.network.table, torch.from_numpy(ids.rows_U).long() + self.layout.pool_from
        table[rows_U] = ids.values(seed, width=table.shape[1], std=EMBEDDING_STD)
        self.adagrad.accumulator_R.view(len(table), -1)[rows_U] = 0

    def losses(self, leaf_UX: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss on a batch, given the rows of the table that it touches."""
        given = batch.labelled
        with layers_in(self.precision):
            logits = self.network(embed(leaf_UX, given.samples, self.layout, batch.by_row), given.places_B, self.noise)
        return loss_terms(logits, given.labels, self.options)

    def step(self, batch: Batch) -> dict[str, float] | Fault:
        """Train on one batch and return the terms of its loss, or what is not finite.

        Where that is the loss or a gradient, nothing has changed; where it is a parameter, the update made it so.
        """
        rows_U, samples = torch.from_numpy(batch.rows_U), batch.labelled.samples
        leaf_UX = functional.embedding(rows_U, self.network.table).requires_grad_()
        noise = self.noise.get_state()
        terms = self.losses(leaf_UX, batch)
        loss = torch.stack(list(terms.values())).sum()
        if not loss.isfinite():
            return fault_of_loss(self.network, leaf_UX, samples, self.layout, partial(self._rerun, noise, leaf_UX, batch))
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        if fault := fault_of_gradients(self.parameters, leaf_UX, samples, self.layout):
            return fault
        self.adam.step()
        moved_UX = self.adagrad.step(self.network.table, rows_U, leaf_UX)
        fault = fault_of_parameters(self.parameters, moved_UX, samples, self.layout)
        return fault or {name: term.item() for name, term in terms.items()}

    def _rerun(self, noise: Tensor, leaf_UX: Tensor, batch: Batch) -> None:
        self.noise.set_state(noise)
        self.losses(leaf_UX, batch)

    def unread_fault(self) -> Fault | None:
        """Return what is not finite in the table, rows that no batch has touched included."""
        return fault_of_table(self.network.table, self.layout)

    def tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the model's and the optimisers' tensors."""
        model = {name: tensor.detach() for name, tensor in self.network.state_dict().items()}
        return model, {_ACCUMULATOR: self.adagrad.accumulator_R, **adam_state(self.network, self.adam)}


def with_room(rows: Tensor, count: int) -> Tensor:
    """Return a tensor of so many rows, those it has first; the others are zeros or what was there.

    The memory is the same, or where that has no room other, and then the tensor that was given is used up.
    """
    stored = rows.untyped_storage().nbytes() // (rows.element_size() * rows[0].numel())
    if count > stored:
        room = zeros(count + count // _ROOM, *rows.shape[1:])
        moved(rows, room)
        return room[:count]
    return rows.as_strided((count, *rows.shape[1:]), rows.stride(), 0)
