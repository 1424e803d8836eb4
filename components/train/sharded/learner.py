"""What changes while the ranks train together: the layers, the same on all of them, and the table, of which each has a part.

Letters: B samples of this rank's part of a batch, U distinct rows in it, X numbers in a row.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, distributed

from components.checkpoints import Checkpoint
from components.disk import scratch_folder
from components.model.embedding import embed
from components.model.encoding import Layout
from components.model.identity import without_ids
from components.model.losses import loss_terms
from components.model.network import EMBEDDING_STD, Network
from components.model.precision import layers_in
from components.model.restore import restore
from components.settings import Settings
from components.train.admission import Admitted
from components.train.batches import Batch
from components.train.faults import Fault, fault_of_gradients, fault_of_loss, fault_of_parameters
from components.train.optimisers import adam, adam_state
from components.train.sharded.filed import filed
from components.train.sharded.ranks import Ranks
from components.train.sharded.table import ShardedTable

_TABLE, _ACCUMULATOR = "table", "table.accumulator"


class ShardedLearner:
    """Trains one network in all ranks. A batch is the union of the ranks' parts of it, of which any may be empty."""

    def __init__(self, network: Network, optimizer: Mapping[str, Tensor], layout: Layout, settings: Settings, ranks: Ranks) -> None:
        """Go on from a whole network, of whose table the own part is copied, and an optimizer state; an empty one starts afresh."""
        options = settings.model
        rate = settings.train.table_learning_rate
        rows, width = network.table.shape
        per_row = width // options.embedding_width
        self.table = ShardedTable(rows, per_row, options.embedding_width, rate, ranks, grows=bool(layout.exact))
        self.table.take(network.table, optimizer.get(_ACCUMULATOR))
        network.table = network.table.new_empty(0, network.table.shape[1])
        self.network = network
        self.parameters = dict(network.named_parameters())
        self.adam = adam(network, settings.train.learning_rate, dict(optimizer))
        self.layout = layout
        self.options = options
        self.precision = settings.train.precision
        self.scratch = settings.root / "scratch"
        self.ranks = ranks
        self.noise = Generator()
        """What drop-out draws from; whoever trains seeds it."""
        self.terms: list[str] = []
        """Names of the loss's terms, once a batch has shown them."""

    @classmethod
    def new(cls, layout: Layout, settings: Settings, biases: Mapping[str, float], ranks: Ranks) -> "ShardedLearner":
        """Start cold, with the values that one process draws from the seed: the whole table is drawn, into a file."""
        network = Network(layout, settings.model)
        with scratch_folder(settings.root / "scratch") as folder:
            network.table = filed(folder / "table", *network.table.shape)
            network.initialise(Generator().manual_seed(settings.train.seed), biases)
            return cls(network, {}, layout, settings, ranks)

    @classmethod
    def resume(cls, parent: Checkpoint, layout: Layout, settings: Settings, ranks: Ranks) -> "ShardedLearner":
        """Go on from a checkpoint, of any number of ranks; raises CheckpointError where it does not fit."""
        used = without_ids(parent.model)
        own = {name: tensor if name == _TABLE else tensor.clone() for name, tensor in used.items()}  # of the table a part is copied
        return cls(restore(Checkpoint(own, {}, parent.manifest), layout, settings.model), parent.optimizer, layout, settings, ranks)

    def grow(self, pool: int) -> None:
        """Let the table have a pool of so many rows, where it has fewer; `renew` gives values to new ones."""
        if pool > self.layout.pool:
            self.layout = replace(self.layout, pool=pool)
            self.table.grow(self.layout.rows, self.scratch)

    def renew(self, ids: Admitted, seed: int) -> None:
        """Begin the rows of ids anew, as one process does, those that this rank has."""
        held_U = self.table.holds(ids.rows_U.astype(np.int64) + self.layout.pool_from)
        own = Admitted(ids.keys_U[held_U], ids.rows_U[held_U])
        values_UX = own.values(seed, width=self.table.per_row * self.table.width, std=EMBEDDING_STD)
        self.table.renew(own.rows_U.astype(np.int64) + self.layout.pool_from, values_UX)

    def step(self, batch: Batch, total: int) -> dict[str, float] | Fault | None:
        """Train on one batch of `total` samples, of which this rank has some or none.

        Returns the terms of the loss over all of them, this rank's fault, or None where another rank has one: what is not finite in the
        loss or a gradient is found before anything has changed, on any rank.
        """
        looked_up = self.table.look_up(batch.rows_U)
        leaf_UX = looked_up.leaf_UX
        found = self._differentiate(leaf_UX, batch)
        if not self.terms:
            self.terms = max(self.ranks.gather([] if isinstance(found, Fault) else list(found)), key=len)
        summed = self._sum(found, len(batch) / total)
        if summed is None:
            return found if isinstance(found, Fault) else None
        gradient_UX = torch.zeros_like(leaf_UX) if leaf_UX.grad is None else leaf_UX.grad
        self.table.move(looked_up, gradient_UX * (len(batch) / total))
        self.adam.step()
        return fault_of_parameters(self.parameters, leaf_UX[:0].detach(), batch.labelled.samples.slice(0, 0), self.layout) or summed

    def _differentiate(self, leaf_UX: Tensor, batch: Batch) -> dict[str, float] | Fault:
        """Leave the gradients of this rank's mean loss in the leaf and the parameters; returns its terms, none without samples."""
        self.adam.zero_grad()
        if not len(batch):
            return {}
        noise, samples = self.noise.get_state(), batch.labelled.samples
        terms = self._losses(leaf_UX, batch)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.stack([loss, leaf_UX.sum()]).isfinite().all():  # an update that overflowed shows in the rows, if not in the loss
            return fault_of_loss(self.network, leaf_UX, samples, self.layout, partial(self._rerun, noise, leaf_UX, batch))
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        fault = fault_of_gradients(self.parameters, leaf_UX, samples, self.layout)
        return fault or {name: term.item() for name, term in terms.items()}

    def _sum(self, found: dict[str, float] | Fault, share: float) -> dict[str, float] | None:
        """Give each parameter its gradient over the whole batch and return the loss's terms; None where a rank has a fault.

        One message a batch: the gradients, the terms and the number of faults, all ranks' added up, each counting by its share of the rows.
        """
        faulty = isinstance(found, Fault)
        terms = [0.0 if isinstance(found, Fault) else found.get(name, 0.0) for name in self.terms]
        gradients = [torch.zeros_like(own) if own.grad is None else own.grad for own in self.parameters.values()]
        message = torch.cat([*(gradient.flatten() for gradient in gradients), torch.tensor(terms)]) * share
        message = torch.cat([message, torch.tensor([float(faulty)])])
        distributed.all_reduce(message)
        if message[-1]:
            return None
        *summed, losses, _ = torch.split(message, [*(own.numel() for own in gradients), len(terms), 1])
        for own, gradient in zip(self.parameters.values(), summed, strict=True):
            own.grad = gradient.view_as(own)
        return dict(zip(self.terms, losses.tolist(), strict=True))

    def _losses(self, leaf_UX: Tensor, batch: Batch) -> dict[str, Tensor]:
        given = batch.labelled
        with layers_in(self.precision):
            logits = self.network(embed(leaf_UX, given.samples, self.layout, batch.by_row), given.places_B, self.noise)
        return loss_terms(logits, given.labels, self.options)

    def _rerun(self, noise: Tensor, leaf_UX: Tensor, batch: Batch) -> None:
        self.noise.set_state(noise)
        self._losses(leaf_UX, batch)

    def tensors(self, folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]] | None:
        """Return the model's and the optimisers' tensors, those of the table in files of the folder, on the first rank; else None."""
        whole = self.table.gather(folder)
        if whole is None:
            return None
        layers = {name: tensor.detach() for name, tensor in self.network.state_dict().items() if name != _TABLE}
        return {_TABLE: whole[0], **layers}, {_ACCUMULATOR: whole[1], **adam_state(self.network, self.adam)}
