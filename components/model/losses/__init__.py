"""What the towers are and how they are trained, one file each; chosen by `model.loss`.

The paper's arms are pairs of a bottom and a loss: ESMM = shared_embedding + product, ESMM-NS = separate_embedding + product,
BASE = separate_embedding + masked, DIVISION = separate_embedding + division.
"""

from collections.abc import Mapping

from torch import Tensor

from components.model.losses import (
    dcmt,
    division,
    escm2_ips,
    esm2,
    masked,
    product,
    product_masked,
    regression,
    split_kl,
)
from components.model.losses.loss import KNOWN_SHARE, Labels, Logits, Loss, bias_of_rate
from components.model_settings import Model

LOSSES: Mapping[str, Loss] = {
    "product": product.LOSS,
    "masked": masked.LOSS,
    "product_masked": product_masked.LOSS,
    "esm2": esm2.LOSS,
    "split_kl": split_kl.LOSS,
    "division": division.LOSS,
    "escm2_ips": escm2_ips.LOSS,
    "dcmt": dcmt.LOSS,
}


def loss_terms(logits: Logits, labels: Labels, options: Model) -> dict[str, Tensor]:
    """Return each weighted term of the loss by name; their sum is what is minimised. Half-precision logits are widened first."""
    wide = {task: logit_B.float() if logit_B.itemsize < 4 else logit_B for task, logit_B in logits.items()}
    terms = LOSSES[options.loss].terms(wide, labels, options)
    heads = {head.name: head.weight * regression.squared_error(wide[head.name], labels[head.column]) for head in options.regressions}
    return {**terms, **heads}


def label_columns(options: Model) -> tuple[str, ...]:
    """Return the columns of the samples that the loss and the regressions learn from, each once."""
    share = [KNOWN_SHARE] if options.age_corrected else []
    return tuple(dict.fromkeys([*LOSSES[options.loss].labels, *share, *(head.column for head in options.regressions)]))


def initial_biases(labels: Labels, options: Model) -> dict[str, float]:
    """Return what each tower should predict before it has learned anything, as its last bias, by task."""
    outcomes = LOSSES[options.loss].outcomes(labels)
    rates = {task: bias_of_rate(happened_B, among_B) for task, (happened_B, among_B) in outcomes.items()}
    return {**rates, **{head.name: regression.mean(labels[head.column]) for head in options.regressions}}
