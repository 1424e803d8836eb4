"""A parent of another profile, as a parent of this one: what still means something goes where it belongs now, the rest is fresh or gone.

What is fresh changes no prediction at first: fresh rows are 0, under weights that are drawn as at a cold start, so that they learn as fast
as there. Where a new field reads a table that is carried over, its weights are 0 instead. Letters: R rows of a table, P pairs of a row now
and the row it begins as.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np
import polars as pl
import torch
from torch import Generator, Tensor

from components.checkpoints import Checkpoint, Manifest
from components.model.bottoms import BOTTOMS
from components.model.bottoms.bottom import Axes, Bottom, Parts
from components.model.calibration import without_maps
from components.model.encoding import Ids, Layout
from components.model.identity import without_ids
from components.model.kinship import Kinship
from components.model.network import Network
from components.model.quantiles import learn_layout
from components.model.restore import describe, misfit, network_differences, recorded, same_fields
from components.model_settings import Model
from components.settings import Settings

_BY_TABLE = ("identity.", "waiting_ids.")
"""Tensors of exact tables begin so, and go on with the table's name."""


def carried_over(parent: Checkpoint, rows: pl.DataFrame, layout: Layout, settings: Settings) -> tuple[Checkpoint, Manifest]:
    """Return a parent as if it had been trained for a profile's layout, and `carried`: what was kept, fresh and dropped; {} for nothing.

    rows: the first to be trained on, from which numbers that are new to the parent learn their boundaries. The parent is not changed.
    Raises CheckpointError, with every difference, where the network is another or a field means something else than it did.
    """
    kin, options = Kinship(recorded(parent.manifest), layout).inherited(), settings.model
    if same_fields(parent.manifest, kin.child, options):
        return parent, {}
    differences = [*kin.differences(), *network_differences(_renamed(parent.manifest, kin), options)]
    if differences:
        raise misfit(parent, differences, otherwise=", give a field that means something else another name")
    kin = replace(kin, child=learn_layout(kin.child, rows))
    move = _Move(kin, parent, options, settings.train.seed)
    model = {**move.parameters(without_ids(without_maps(parent.model))), "table": move.rows(parent.model["table"])}
    laid_out = describe(kin.parent, options)
    manifest = {name: fact for name, fact in parent.manifest.items() if name not in laid_out} | describe(kin.child, options)
    return Checkpoint({**model, **move.by_table(parent.model)}, move.state(parent.optimizer), manifest), {"carried": kin.told()}


def _renamed(manifest: Manifest, kin: Kinship) -> Manifest:
    """Return a manifest whose network, where it names a field, names it as it is called now."""
    network, names = manifest.get("network", {}), {then: now for now, then in kin.fields.items()}
    sequence = {"sequence": names.get(network["sequence"], "")} if "sequence" in network else {}
    return {**manifest, "network": {**network, **sequence}}


class _Move:
    """Where each row, parameter and number of the parent goes."""

    def __init__(self, kin: Kinship, parent: Checkpoint, options: Model, seed: int) -> None:
        """Draw a fresh network, for the weights that nothing is carried over to."""
        self.kin, self.network = kin, Network(kin.child, options)
        self.network.initialise(Generator().manual_seed(seed), dict.fromkeys(self.network.tasks, 0.0))
        self.now_P, self.then_P = _row_pairs(kin, _trained(parent, kin.parent))
        self.axes = _axes(self.network.bottom, self.network.tasks)
        self.axes_then = _axes(_bottom_of(kin, self.network.tasks, options), self.network.tasks)
        self.drawn = {field.name: field.name for field in kin.child.fields if field.vocabulary not in kin.tables}
        own = self.network.attention.of_field().items()
        self.names = {f"attention.{name}": f"attention.{_under(kin.fields.get(field, ''), name)}" for name, field in own}

    def rows(self, then: Tensor) -> Tensor:
        """Return the rows of the table, or their state: as those of the parent that they begin as, or 0."""
        then_RX = then.view(self.kin.parent.rows, -1)
        now_RX = then.new_zeros(self.kin.child.rows, then_RX.shape[1])
        now_RX[self.now_P] = then_RX[self.then_P]
        return now_RX.view(-1, *then.shape[1:])

    def parameters(self, then: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the parameters, each as the parent's is now."""
        fresh = dict(self.network.named_parameters())
        return {name: self.numbers(name, then.get(self.names.get(name, name)), tensor.detach()) for name, tensor in fresh.items()}

    def numbers(self, name: str, then: Tensor | None, fresh: Tensor) -> Tensor:
        """Return a parameter, or a moment of its gradient, in the order of the fields now."""
        axes = self.axes.get(name, {})
        if not axes:
            return fresh if then is None else then
        now = torch.zeros_like(fresh)
        for axis, parts in axes.items():
            drawn = _block(now, {axis: _places(parts, parts, self.drawn)[0]})
            now[drawn] = fresh[drawn]
        if then is None:
            return now
        if len(axes) > 1:
            then = then.triu() + then.triu(1).T
        kept = {axis: _places(parts, self.axes_then[name][axis], self.kin.fields) for axis, parts in axes.items()}
        mine, theirs = ({axis: places[side] for axis, places in kept.items()} for side in (0, 1))
        now[_block(now, mine)] = then[_block(then, theirs)]
        return now

    def state(self, then: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the optimisers' tensors: those named `table.` have numbers for each row, those named `adam.` are a parameter's."""
        by_row = {name: self.rows(tensor) for name, tensor in then.items() if name.startswith("table.")}
        parts = sorted({name.rsplit(".", 1)[1] for name in then if name.startswith("adam.")})
        moments = {f"adam.{name}.{part}": self._moment(name, part, then) for name, _ in self.network.named_parameters() for part in parts}
        others = {name: tensor for name, tensor in then.items() if not name.startswith(("table.", "adam.", *_BY_TABLE))}
        return {**by_row, **moments, **self.by_table(then), **others}

    def _moment(self, name: str, part: str, state: Mapping[str, Tensor]) -> Tensor:
        then = state.get(f"adam.{self.names.get(name, name)}.{part}")
        if part == "step":
            return torch.zeros(()) if then is None else then
        return self.numbers(name, then, torch.zeros_like(self.network.get_parameter(name)))

    def by_table(self, then: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of exact tables under the names that the tables have now."""
        names = {f"{prefix}{was}": f"{prefix}{now}" for now, was in self.kin.tables.items() for prefix in _BY_TABLE}
        split = {name: name.rsplit(".", 1) for name in then if name.startswith(_BY_TABLE)}
        return {f"{names[table]}.{part}": then[name] for name, (table, part) in split.items() if table in names}


def _row_pairs(kin: Kinship, trained_R: Tensor) -> tuple[Tensor, Tensor]:
    """Return row_P of the child's whole table and of the parent's. trained: how much each of the parent's rows has learned."""
    pool = np.arange(kin.child.pool)
    now, then = [pool + kin.child.pool_from], [pool + kin.parent.pool_from]
    for table, was in kin.tables.items():
        rows_P, were_P = kin.rows(table)
        were_P = were_P + kin.parent.offsets[was]
        if len(rows_P) > kin.child.vocabularies[table]:
            rows_P, were_P = _busiest(rows_P, were_P, trained_R)
        now.append(rows_P + kin.child.offsets[table])
        then.append(were_P)
    return torch.from_numpy(np.concatenate(now)), torch.from_numpy(np.concatenate(then))


def _busiest(now_P: Ids, then_P: Ids, trained_R: Tensor) -> tuple[Ids, Ids]:
    """Return one pair of each row now, with that of its rows before which has learned most."""
    order_P = np.lexsort((trained_R.numpy()[then_P], now_P))
    last = np.flatnonzero(np.diff(now_P[order_P], append=-1))
    return now_P[order_P][last], then_P[order_P][last]


def _trained(parent: Checkpoint, layout: Layout) -> Tensor:
    state = [tensor.reshape(layout.rows, -1).float().sum(dim=1) for name, tensor in parent.optimizer.items() if name.startswith("table.")]
    return state[0] if state else torch.zeros(layout.rows)


def _bottom_of(kin: Kinship, tasks: tuple[str, ...], options: Model) -> Bottom:
    """Return the parent's bottom, of which nothing but the parts of its axes is asked."""
    sequence = kin.fields.get(options.dupn.sequence, "")
    were = options.model_copy(update={"dupn": options.dupn.model_copy(update={"sequence": sequence})})
    with torch.device("meta"):
        return BOTTOMS[options.bottom](kin.parent, tasks, were)


def _axes(bottom: Bottom, tasks: tuple[str, ...]) -> dict[str, Axes]:
    """Return the axes that fields decide, by the parameter's name in the network."""
    towers: dict[str, Axes] = {f"{task}_tower.0.weight": {1: bottom.tower_reads()} for task in tasks}
    return {**{f"bottom.{name}": axes for name, axes in bottom.by_field().items()}, **towers}


def _block(tensor: Tensor, places: Mapping[int, Ids]) -> tuple[Ids, ...]:
    """Return the index of the numbers at these places of some axes, and at all places of the others."""
    return np.ix_(*(places.get(axis, np.arange(size)) for axis, size in enumerate(tensor.shape)))


def _places(parts: Parts, then: Parts, names: Mapping[str, str]) -> tuple[Ids, Ids]:
    """Return the places on an axis that were there before, and where. names: the fields, by what they are called now."""
    own, were = _ranges(parts), _ranges(then)
    kept = [(own[now], were[before]) for now, before in {**names, "": ""}.items() if now in own and before in were]
    now, before = ([place for pair in kept for place in pair[side]] for side in (0, 1))
    return np.array(now, np.int64), np.array(before, np.int64)


def _ranges(parts: Parts) -> dict[str, range]:
    ends = list(accumulate((size for _, size in parts), initial=0))
    return {name: range(start, end) for (name, _), (start, end) in zip(parts, pairwise(ends), strict=True)}


def _under(field: str, name: str) -> str:
    """Return the name that a parameter of one field has as another's: the field's name comes second."""
    kind, _, rest = name.split(".", 2)
    return f"{kind}.{field}.{rest}"
