"""Masked: the exact likelihood of clicks and conversions, BCE(y, pCTR) + [clicked] BCE(z, pCVR); no product term (ours)."""

from torch import Tensor

from components.model.losses.likelihood import ctr_loss, masked_cvr_loss
from components.model.losses.loss import Labels, Logits, Loss, known_share, pair_outcomes, pair_probabilities
from components.model_settings import Model


def terms(logits: Logits, labels: Labels, options: Model) -> dict[str, Tensor]:
    """Return `ctr` and `masked_cvr`."""
    clicked_B = labels["clicked"]
    return {
        "ctr": options.ctr_weight * ctr_loss(logits["ctr"], clicked_B),
        "masked_cvr": masked_cvr_loss(logits["cvr"], clicked_B, labels["converted"], known_share(labels, options)),
    }


LOSS = Loss(("ctr", "cvr"), ("clicked", "converted"), pair_outcomes, terms, pair_probabilities)
