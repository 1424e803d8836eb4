"""Product: ESMM's loss, BCE(y, pCTR) + BCE(y z, pCTR pCVR) over all impressions (Ma et al. 2018, arXiv:1804.07931).

The conversion tower has no loss of its own: it learns through the product.
"""

from torch import Tensor

from components.model.losses.likelihood import ctcvr_loss, ctr_loss
from components.model.losses.loss import Labels, Logits, Loss, known_share, pair_outcomes, pair_probabilities
from components.model_settings import Model


def terms(logits: Logits, labels: Labels, options: Model) -> dict[str, Tensor]:
    """Return `ctr` and `ctcvr`."""
    a_B, b_B, share_B = logits["ctr"], logits["cvr"], known_share(labels, options)
    return {
        "ctr": options.ctr_weight * ctr_loss(a_B, labels["clicked"]),
        "ctcvr": options.ctcvr_weight * ctcvr_loss(a_B, b_B, labels["converted"], share_B),
    }


LOSS = Loss(("ctr", "cvr"), ("clicked", "converted"), pair_outcomes, terms, pair_probabilities)
