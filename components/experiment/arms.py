"""The arms: one table from a name to the settings and the rows that make it. The rest of an experiment is the same for all.

The paper's arms are those of Ma et al. 2018 (arXiv:1804.07931); a bottom keeps its default sizes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.errors import SettingsError
from components.experiment.rows import Choice, clicks_rejected_by_pctr, conversions_repeated, every_row, unclicked_as_negatives

BASE, ESMM, ORACLE = "base", "esmm", "oracle"
"""BASE is run in every experiment: its click network, which shares nothing, is the one CTR network of the paper's CTCVR task. So is the
oracle, the ceiling. Differences are to ESMM, where it is among the arms."""


@dataclass(frozen=True)
class Arm:
    """One way to train, judged like all others."""

    title: str
    model: Mapping[str, Any] = field(default_factory=dict)
    """Keys of `[model]` over those of the settings."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Keys of `[train]`, likewise."""
    rows: Choice = every_row
    own_ctr: bool = True
    """Whether its pCTR is one. False: the rows it chose have no true clicks, or the CTR network is the reference itself."""


def _base(title: str, rows: Choice) -> Arm:
    return Arm(title, _BASE, rows=rows, own_ctr=False)


def _bottom(title: str, name: str) -> Arm:
    """Return a bottom with the loss of `product_masked`: with the product alone what tasks share learns of clicks (model's README.md)."""
    return Arm(title, {"bottom": name, "loss": "product_masked"})


_BASE = {"bottom": "separate_embedding", "loss": "masked"}
_ESMM = {"bottom": "shared_embedding", "loss": "product"}
ARMS: Mapping[str, Arm] = {
    BASE: Arm("BASE", _BASE),
    **{f"aman_{rate}": _base(f"AMAN {rate} %", unclicked_as_negatives(rate / 100)) for rate in (10, 20, 50, 100)},
    **{f"oversampling_{times}": _base(f"OVERSAMPLING x{times}", conversions_repeated(times)) for times in (2, 3, 5, 10)},
    "unbias": _base("UNBIAS", clicks_rejected_by_pctr),
    "division": Arm("DIVISION", {"bottom": "separate_embedding", "loss": "division"}),
    "esmm_ns": Arm("ESMM-NS", {"bottom": "separate_embedding", "loss": "product"}),
    ESMM: Arm("ESMM", _ESMM),
    "masked": Arm("Masked", {**_ESMM, "loss": "masked"}),
    "product_masked": Arm("Product + masked", {**_ESMM, "loss": "product_masked"}),
    "product_masked_ns": _bottom("Product + masked, NS", "separate_embedding"),
    "shared_bottom": _bottom("Shared bottom", "shared_bottom"),
    "mmoe": _bottom("MMoE", "mmoe"),
    "ple": _bottom("PLE", "ple"),
    "dbmtl": _bottom("DBMTL", "dbmtl"),
    "nfwfm": _bottom("NFwFM", "nfwfm"),
    "escm2_ips": Arm("ESCM2-IPS", {**_ESMM, "loss": "escm2_ips"}),
    "dcmt": Arm("DCMT", {**_ESMM, "loss": "dcmt"}),
    "split_kl": Arm("Split heads, KL", {**_ESMM, "loss": "split_kl"}),
    "esm2": Arm("ESM2", {**_ESMM, "loss": "esm2"}),
    "position": Arm("Position tower", {**_ESMM, "position_tower": True}),
    "age_corrected": Arm("ESMM, age-corrected", {**_ESMM, "age_corrected": True}),
    "age_corrected_masked": Arm("Masked, age-corrected", {**_ESMM, "loss": "masked", "age_corrected": True}),
    "age_corrected_product_masked": Arm("Product + masked, age-corrected", {**_ESMM, "loss": "product_masked", "age_corrected": True}),
    "negatives_25": Arm("ESMM, 25 % of negatives", _ESMM, {"negative_rate": 0.25}),
    "calibrated": Arm("ESMM, calibrated", _ESMM, {"calibration_share": 0.1}),
    ORACLE: Arm("Oracle (the truth)"),
}


def find_arms(names: Sequence[str]) -> list[str]:
    """Return the arms that are meant, in the table's order, with BASE and the oracle.

    A name is an arm's, or what several begin with before an underscore (`aman`), or `all`. Raises SettingsError for any other.
    """
    meant = {BASE, ORACLE}
    for name in names:
        found = {name} & ARMS.keys() or {arm for arm in ARMS if name == "all" or arm.startswith(f"{name}_")}
        if not found:
            raise SettingsError(f"experiment: expected arms among all, {', '.join(ARMS)}, found {name!r}; choose some of them")
        meant |= found
    return [arm for arm in ARMS if arm in meant]
