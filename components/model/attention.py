"""Target attention: a list is summed with weights that ask how each entry bears on the item (DIN; Zhou et al. 2018, KDD, arXiv:1706.06978).

    pooled = sum_v a(v, t) v,  a = layers([v, t, v * t])

t is the embedding of the id field whose table the list shares. As in the paper the weights are not normalised, so that how much there is
counts too; the product entry by entry instead of the outer one is ours. Letters: E list entries, K entries of one list field.
"""

import torch
from torch import Generator, nn
from torch.nn import functional

from components.errors import SettingsError
from components.model.embedding import Embedded
from components.model.encoding import Layout
from components.model.layers import he_uniform, tower
from components.model_settings import Model


class TargetAttention(nn.Module):
    """Layers for each list field that is pooled by attention."""

    def __init__(self, layout: Layout, table_width: int, options: Model) -> None:
        """Raise SettingsError where tasks have embeddings of their own: the layers would be shared by what must share nothing."""
        super().__init__()
        fields = [field.name for field in layout.lists if field.pooling == "attention"]
        if fields and table_width != options.embedding_width:
            raise SettingsError(
                f"model.bottom {options.bottom}: expected lists pooled by sum or mean, found attention in {', '.join(fields)}; "
                "change their pooling or choose another bottom"
            )
        self.units = nn.ModuleDict({name: tower(3 * table_width, options.attention_hidden, options) for name in fields})

    def forward(self, embedded: Embedded) -> Embedded:
        """Return the batch with the entries of these lists weighted, and pooled anew."""
        lists = [(place, field) for place, field in enumerate(embedded.layout.lists) if field.pooling == "attention"]
        if not lists:
            return embedded
        entries_EW, (samples_E, lists_E) = embedded.entries(), embedded.owners()
        weights_E1 = torch.ones_like(entries_EW[:, :1])
        singles = [single.name for single in embedded.layout.singles]
        for place, field in lists:
            chosen_K = (lists_E == place).nonzero().flatten()
            target_KW = functional.embedding(samples_E[chosen_K], embedded.x_BFW[:, singles.index(field.vocabulary)])
            entry_KW = entries_EW[chosen_K]
            asked_K = self.units[field.name](torch.cat([entry_KW, target_KW, entry_KW * target_KW], dim=1))
            weights_E1 = weights_E1.index_copy(0, chosen_K, asked_K)
        return embedded.weighted(weights_E1)

    def of_field(self) -> dict[str, str]:
        """Return the field that each parameter is of."""
        return {name: name.split(".")[1] for name, _ in self.named_parameters()}

    def initialise(self, generator: Generator) -> None:
        """Start near the plain sum: the weights' biases are 1 (ours)."""
        he_uniform(self, generator)
        for layers in self.units.values():
            nn.init.ones_(layers.get_submodule(str(len(list(layers.children())) - 1)).get_parameter("bias"))
