"""NFwFM: field-weighted interactions under a neural network (arXiv:1911.04690; Pan et al. 2018, arXiv:1806.03514).

    h = sum_{m<n} r_mn (e_m * e_n) + sum_m r_m 1/2 [(sum v)^2 - sum v^2] + linear

The second sum is over list fields, v being the entries as they are pooled into e_m. The linear term is FwFM's <e_m, w_m>, one number,
set beside h (ours); drop-out is on h's entries; then layers for all tasks, then the towers. Letters: L list fields.
"""

import torch
from torch import Generator, Tensor, nn

from components.model.bottoms.bottom import Axes, Bottom, each
from components.model.embedding import Embedded
from components.model.encoding import Layout
from components.model.layers import drop_out, hidden_layers
from components.model_settings import Model


class Nfwfm(Bottom):
    """The strengths of the interactions, the linear weights and the shared layers."""

    def __init__(self, layout: Layout, tasks: tuple[str, ...], options: Model) -> None:
        """Let every pair of fields, and every list, have a strength."""
        super().__init__(layout, tasks, options)
        fields = len(layout.fields)
        self.pair_strengths_FF = nn.Parameter(torch.empty(fields, fields))
        if layout.lists:
            self.list_strengths_L = nn.Parameter(torch.empty(len(layout.lists)))
        self.linear_FW = nn.Parameter(torch.empty(fields, options.embedding_width))
        self.layers = hidden_layers(options.embedding_width + 1, options.nfwfm.layers, options)
        self.dropout = options.interaction_dropout
        self.pairs, self.lists = each(layout.ordered, 1), each(layout.lists, 1)
        self.width, self.hidden = options.nfwfm.layers[-1], options.nfwfm.hidden

    def forward(self, embedded: Embedded, noise: Generator | None) -> dict[str, Tensor]:
        """Return the last shared layer for all tasks."""
        interactions_BW = self.between_fields(embedded.x_BFW)
        if embedded.layout.lists:
            interactions_BW = interactions_BW + self.within_lists(embedded)
        linear_B1 = (embedded.x_BFW * self.linear_FW).sum(dim=(1, 2)).unsqueeze(1)
        kept_BW = drop_out(interactions_BW, self.dropout, noise)
        return dict.fromkeys(self.tasks, self.layers(torch.cat([kept_BW, linear_B1], dim=1)))

    def between_fields(self, x_BFW: Tensor) -> Tensor:
        """Return sum_{m<n} r_mn (e_m * e_n), (B, W)."""
        later_BFW = self.pair_strengths_FF.triu(diagonal=1) @ x_BFW
        return (x_BFW * later_BFW).sum(dim=1)

    def within_lists(self, embedded: Embedded) -> Tensor:
        """Return sum_m r_m 1/2 [(sum v)^2 - sum v^2] over the list fields, (B, W)."""
        lists = len(embedded.layout.lists)
        squares_BLW = embedded.pool(embedded.entries().square()) * embedded.entry_weights().square()
        pairs_BLW = (embedded.x_BFW[:, -lists:].square() - squares_BLW) / 2
        return self.list_strengths_L @ pairs_BLW

    def initialise(self, generator: Generator) -> None:
        """Start with all strengths 1, the plain factorisation machine, and no linear term."""
        super().initialise(generator)
        for name, parameter in self.named_parameters(recurse=False):
            nn.init.constant_(parameter, float(name != "linear_FW"))

    def by_field(self) -> dict[str, Axes]:
        """Return the strengths of fields and pairs, and the linear weights."""
        lists: dict[str, Axes] = {"list_strengths_L": {0: self.lists}} if self.lists else {}
        return {"pair_strengths_FF": {0: self.pairs, 1: self.pairs}, "linear_FW": {0: self.pairs}, **lists}
