"""What a network that was trained on a share of the unclicked rows says of all rows (He et al. 2014, ADKDD, doi:10.1145/2648584.2648589).

Of the unclicked rows a share w is kept: the odds of a click among the kept rows are 1 / w times those among all, so that
logit(pCTR) = a + ln w for the click tower's logit a. pCVR is given a click, of which all are kept: it needs no correction, and pCTCVR is
the product.
"""

import math
from collections.abc import Mapping

from torch import Tensor

from components.checkpoints import Manifest

NEGATIVE_RATE = "negative_rate"
"""Key of the manifest: w. A manifest without one is from before there was sampling."""


def negative_rate(manifest: Manifest) -> float:
    """Return the share of the unclicked rows that a checkpoint was trained on."""
    rate: float = manifest.get(NEGATIVE_RATE, 1.0)
    return rate


def corrected(probabilities: Mapping[str, Tensor], ctr_logit_N: Tensor, rate: float) -> dict[str, Tensor]:
    """Return pctr, pcvr and pctcvr among all rows, from those among the sampled."""
    if rate == 1:
        return dict(probabilities)
    pctr_N = (ctr_logit_N + math.log(rate)).sigmoid()
    return {"pctr": pctr_N, "pcvr": probabilities["pcvr"], "pctcvr": pctr_N * probabilities["pcvr"]}
