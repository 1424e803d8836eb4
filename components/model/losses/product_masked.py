"""Product and masked: ESMM's loss with the masked CVR likelihood as an auxiliary term (ours)."""

from dataclasses import replace

from torch import Tensor

from components.model.losses import product
from components.model.losses.likelihood import masked_cvr_loss
from components.model.losses.loss import Labels, Logits, known_share
from components.model_settings import Model


def terms(logits: Logits, labels: Labels, options: Model) -> dict[str, Tensor]:
    """Return `ctr`, `ctcvr` and `masked_cvr`."""
    masked = masked_cvr_loss(logits["cvr"], labels["clicked"], labels["converted"], known_share(labels, options))
    return {**product.terms(logits, labels, options), "masked_cvr": options.masked_cvr_weight * masked}


LOSS = replace(product.LOSS, terms=terms)
