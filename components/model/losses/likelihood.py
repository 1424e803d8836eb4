"""Likelihoods in log space from the towers' logits: finite, with finite gradients, at any logits that a network gives.

Letters: B samples. a, b: logits of pCTR and pCVR. All reductions are means over all B impressions.

known_share: F(e), the share of conversions that a label of age e shows. Where it is given, `converted` is a conversion known yet, whose
probability is F times that of one, and the tower learns that of all (ours, from the likelihood). 1 changes nothing.
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid


def log_pctcvr(a_B: Tensor, b_B: Tensor) -> Tensor:
    """Return log(pCTR * pCVR)."""
    return logsigmoid(a_B) + logsigmoid(b_B)


def log_not_pctcvr(a_B: Tensor, b_B: Tensor) -> Tensor:
    """Return log(1 - pCTR * pCVR): log1mexp of the above, taken from the logits.

    1 - pq = (1 - p) + p (1 - q) keeps its digits, and a finite gradient, where pq rounds to 1 and log1mexp(log pq) would be -inf.
    """
    return torch.logaddexp(logsigmoid(-a_B), logsigmoid(a_B) + logsigmoid(-b_B))


def cross_entropy(happened_B: Tensor, log_p_B: Tensor, log_not_p_B: Tensor) -> Tensor:
    """Return BCE of a probability that is given by its logarithm and that of its complement."""
    return -(happened_B * log_p_B + (1 - happened_B) * log_not_p_B).mean()


def ctr_loss(a_B: Tensor, clicked_B: Tensor) -> Tensor:
    """Return BCE(y, pCTR)."""
    return binary_cross_entropy_with_logits(a_B, clicked_B)


def ctcvr_loss(a_B: Tensor, b_B: Tensor, converted_B: Tensor, known_share_B: Tensor | None = None) -> Tensor:
    """Return BCE(y z, pCTR pCVR F); `converted` is y z."""
    log_p_B, log_not_p_B = log_pctcvr(a_B, b_B), log_not_pctcvr(a_B, b_B)
    if known_share_B is None:
        return cross_entropy(converted_B, log_p_B, log_not_p_B)
    return cross_entropy(converted_B, log_p_B + known_share_B.log(), _log_not_known(log_p_B, log_not_p_B, known_share_B))


def masked_cvr_loss(b_B: Tensor, clicked_B: Tensor, converted_B: Tensor, known_share_B: Tensor | None = None) -> Tensor:
    """Return [clicked] BCE(z, pCVR F), over all impressions: with `ctr_loss`, the exact likelihood of clicks and conversions."""
    if known_share_B is None:
        return binary_cross_entropy_with_logits(b_B, converted_B, weight=clicked_B)
    log_not_known_B = _log_not_known(logsigmoid(b_B), logsigmoid(-b_B), known_share_B)
    log_likelihood_B = converted_B * (logsigmoid(b_B) + known_share_B.log()) + (1 - converted_B) * log_not_known_B
    return -(clicked_B * log_likelihood_B).mean()


def _log_not_known(log_p_B: Tensor, log_not_p_B: Tensor, known_share_B: Tensor) -> Tensor:
    """Return log(1 - p F) = log((1 - p) + p (1 - F)); F = 1 adds nothing, and no gradient."""
    return torch.logaddexp(log_not_p_B, log_p_B + torch.log1p(-known_share_B))
