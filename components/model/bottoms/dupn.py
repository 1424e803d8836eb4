"""DUPN: what a user did, as a sequence, and which of it matters for this item (Ni et al. 2018, KDD, arXiv:1805.10727).

A property-gated LSTM reads the sequence, oldest entry first; attention over its states has the user and the item as its query; the towers
read a user vector, the attention's vector and the item's embeddings. The user's half does not depend on the item: split scoring computes
it once. Letters: T entries of the longest sequence, P width of the properties, H of a state, A of the attention, V of the user vector.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from components.errors import SettingsError
from components.model.bottoms.bottom import Axes, Bottom, Parts, each
from components.model.embedding import Embedded
from components.model.encoding import Layout
from components.model.layers import activation, hidden_layers
from components.model_settings import Model


@dataclass(frozen=True)
class Memory:
    """The user's half. For split scoring it has one row, which serves any number of items."""

    user_BV: Tensor
    states_BTH: Tensor
    keys_BTA: Tensor
    """What the attention's hidden layer makes of the states and the user, before the item is added."""
    live_BT: Tensor
    """Whether there is an entry."""


class Dupn(Bottom):
    """The LSTM, the user's layer and the attention."""

    def __init__(self, layout: Layout, tasks: tuple[str, ...], options: Model) -> None:
        """Raise SettingsError where the profile has no such sequence, or nothing of the item's side."""
        super().__init__(layout, tasks, options)
        sizes, width = options.dupn, options.embedding_width
        _check(layout, sizes.sequence)
        self.sequence = sizes.sequence
        beside = [field for field in layout.lists if field.beside == sizes.sequence]
        self.properties, self.read_beside = [field.name for field in beside], each(beside, width)
        self.sides = {side: each((field for field in layout.ordered if field.side == side), width) for side in ("user", "item")}
        user, item = (sum(numbers for _, numbers in parts) for parts in self.sides.values())
        self.user = hidden_layers(user, (sizes.user_width,), options)
        self.lstm = PropertyGatedLstm(width, len(self.properties) * width, sizes.state_width)
        self.keys = nn.Linear(sizes.state_width + sizes.user_width, sizes.attention_width)
        self.query = nn.Linear(item, sizes.attention_width, bias=False)
        self.energy = nn.Sequential(activation(options), nn.Linear(sizes.attention_width, 1, bias=False))
        self.width, self.hidden = sizes.user_width + sizes.state_width + item, sizes.hidden

    def forward(self, embedded: Embedded, noise: Generator | None) -> dict[str, Tensor]:  # noqa: ARG002  # no drop-out here
        """Return user vector, attention vector and item for all tasks."""
        return self.item_half(self.user_half(embedded), embedded)

    def user_half(self, embedded: Embedded) -> Memory:
        """Return what the fields of the user's side decide; no other is read."""
        entries_BTW, live_BT = embedded.sequence(self.sequence)
        properties = [embedded.sequence(name)[0] for name in self.properties]
        states_BTH = self.lstm(entries_BTW, torch.cat(properties, dim=2) if properties else None, live_BT)
        user_BV = self.user(embedded.of_side("user"))
        beside_BTV = user_BV.unsqueeze(1).expand(-1, states_BTH.shape[1], -1)
        return Memory(user_BV, states_BTH, self.keys(torch.cat([states_BTH, beside_BTV], dim=2)), live_BT)

    def item_half(self, memory: Memory, embedded: Embedded) -> dict[str, Tensor]:
        """Return the towers' input for items, each with its own row of the memory or all with its only one."""
        item_BD = embedded.of_side("item")
        energy_BT = self.energy(memory.keys_BTA + self.query(item_BD).unsqueeze(1)).squeeze(2)
        lowest = torch.finfo(energy_BT.dtype).min  # finite: of an empty sequence every weight is 0, none NaN
        weights_BT = energy_BT.masked_fill(~memory.live_BT, lowest).softmax(dim=1) * memory.live_BT
        attended_BH = (weights_BT.unsqueeze(1) @ memory.states_BTH).squeeze(1)
        user_BV = memory.user_BV.expand(len(item_BD), -1)
        return dict.fromkeys(self.tasks, torch.cat([user_BV, attended_BH, item_BD], dim=1))

    def by_field(self) -> dict[str, Axes]:
        """Return the user's layer, the attention's query and what the LSTM's gates read of the properties."""
        gates: dict[str, Axes] = {"lstm.gates.weight": {1: self.read_beside}} if self.read_beside else {}
        return {"user.0.weight": {1: self.sides["user"]}, "query.weight": {1: self.sides["item"]}, **gates}

    def tower_reads(self) -> Parts:
        """Return user vector and attention vector, which are of no field alone, and the item's embeddings."""
        item = self.sides["item"]
        return (("", self.width - sum(numbers for _, numbers in item)), *item)

    def initialise(self, generator: Generator) -> None:
        """Let the LSTM begin by remembering: the forget gates' biases are 1 (ours; Jozefowicz et al. 2015)."""
        super().initialise(generator)
        nn.init.ones_(self.lstm.entries.bias.data.chunk(4)[1])


class PropertyGatedLstm(nn.Module):
    """An LSTM whose gates, and they alone, also read the entries' properties; no peepholes (ours).

    i, f, o = sigmoid(W e + U h + V p + b),  c = f c + i tanh(W' e + U' h + b'),  h = o tanh(c)
    """

    def __init__(self, width: int, property_width: int, state_width: int) -> None:
        """Without properties it is a plain LSTM."""
        super().__init__()
        self.entries = nn.Linear(width, 4 * state_width)
        self.states = nn.Linear(state_width, 4 * state_width, bias=False)
        self.gates = nn.Linear(property_width, 3 * state_width, bias=False) if property_width else None

    def forward(self, entries_BTW: Tensor, properties_BTP: Tensor | None, live_BT: Tensor) -> Tensor:
        """Return states_BTH, from zeros; zeros again behind a sequence's end. The longest come first, so that ended ones cost nothing."""
        width = self.states.in_features
        order_B = live_BT.sum(dim=1).argsort(descending=True, stable=True)
        first_BTW = entries_BTW[order_B]
        first_BTP = None if properties_BTP is None else properties_BTP[order_B]
        state_BH = cell_BH = entries_BTW.new_zeros(len(entries_BTW), width)
        states = []
        for step, live in enumerate(live_BT.sum(dim=0).tolist()):
            read_BX = self.entries(first_BTW[:live, step]) + self.states(state_BH[:live])
            gates_BX, candidate_BH = read_BX.split([3 * width, width], dim=1)
            if self.gates is not None and first_BTP is not None:
                gates_BX = gates_BX + self.gates(first_BTP[:live, step])
            input_BH, forget_BH, output_BH = gates_BX.sigmoid().chunk(3, dim=1)
            cell_BH = forget_BH * cell_BH[:live] + input_BH * candidate_BH.tanh()
            state_BH = output_BH * cell_BH.tanh()
            states.append(functional.pad(state_BH, (0, 0, 0, len(order_B) - live)))
        return torch.stack(states, dim=1)[order_B.argsort()]


def _check(layout: Layout, sequence: str) -> None:
    found = [field.name for field in layout.lists if field.side == "user" and not field.beside]
    if sequence not in found:
        raise SettingsError(
            f"model.dupn.sequence: expected a list field with side = \"user\" that is beside no other, found '{sequence}'; "
            f"name one of {', '.join(found) or 'those you add to the profile: it has none'}"
        )
    if all(field.side == "user" for field in layout.fields):
        raise SettingsError('model.bottom dupn: expected fields with side = "item", found none; the attention asks with them')
