"""Typed, frozen configuration of the network and its training: the sections `[model]` and `[train]`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.section import Section

Layers = tuple[Annotated[int, Field(ge=1)], ...]
Dropout = Annotated[float, Field(ge=0, lt=1)]
_TOWERS = frozenset({"ctr", "cvr", "ctcvr", "action", "acted_cvr", "other_cvr", "masked_cvr", "ctavr", "kl", "shared", "position"}) | {
    "counterfactual_cvr",
    "weighted_cvr",
    "factual",
    "counterfactual",
    "prior",
}
"""Names of towers and of terms of the losses."""


_AGED = ("product", "masked", "product_masked")
"""Losses that can correct for the age of labels."""


class SharedBottom(Section):
    """`bottom = "shared_bottom"`: ESMM's two layers, the heads split at the last."""

    layers: Annotated[Layers, Field(min_length=1)] = (200,)
    hidden: Layers = (80,)
    """Of each tower, here and below."""


class Mmoe(Section):
    """`bottom = "mmoe"`: each expert is ESMM's first layer, each tower its second (README.md of components/model compares sizes)."""

    experts: int = Field(default=4, ge=1)
    expert_width: int = Field(default=200, ge=1)
    hidden: Layers = (80,)


class Ple(Section):
    """`bottom = "ple"`, sized like `mmoe`. The paper gives no numbers of experts."""

    levels: int = Field(default=1, ge=1)
    """One is CGC. On more, what a task owns below also feeds the others above."""
    own_experts: int = Field(default=1, ge=1)
    """Of each task, on each level."""
    shared_experts: int = Field(default=1, ge=1)
    expert_width: int = Field(default=200, ge=1)
    hidden: Layers = (80,)


class Nfwfm(Section):
    """`bottom = "nfwfm"`."""

    layers: Annotated[Layers, Field(min_length=1)] = (200,)
    """Read the interactions, for all tasks."""
    hidden: Layers = (80,)


class Dupn(Section):
    """`bottom = "dupn"`: 128 wide as in the paper, the towers and the attention ours."""

    sequence: str = ""
    """The list field, of the user's side, that is read as a sequence; the fields `beside` it are its properties."""
    user_width: int = Field(default=128, ge=1)
    state_width: int = Field(default=128, ge=1)
    """Of the LSTM's states, and so of what the attention returns."""
    attention_width: int = Field(default=64, ge=1)
    hidden: Layers = (80,)


class Escm2Ips(Section):
    """`loss = "escm2_ips"`."""

    cvr_weight: float = Field(default=0.1, ge=0)
    """Of the clicked rows' weighted CVR loss (the order of the paper's lambda_c; ours)."""
    floor: float = Field(default=0.01, gt=0, le=1)
    """Of pCTR as a weight: no click counts more than 1 / floor times (ours)."""


class Dcmt(Section):
    """`loss = "dcmt"`."""

    cvr_weight: float = Field(default=1.0, ge=0)
    """Of both towers' weighted losses and of the prior."""
    prior_weight: float = Field(default=0.001, ge=0)
    """Of |1 - (r + r*)| (the paper's order)."""
    floor: float = Field(default=0.01, gt=0, le=1)
    """Of pCTR and of 1 - pCTR as weights (ours)."""


class Regression(Section):
    """One more head: a number that the network also learns to predict."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    column: str
    """Column of the samples; a row where it is null or NaN does not count."""
    weight: float = Field(default=1.0, ge=0)
    """Of the squared error in the loss; bring the column to the order of 1, or the weight to that of its inverse square."""


class Model(Section):
    """The network: bottom, loss and heads are independent choices."""

    bottom: Literal["shared_embedding", "separate_embedding", "shared_bottom", "mmoe", "ple", "dbmtl", "nfwfm", "dupn"] = "shared_embedding"
    """What the towers share; one file each in components/model/bottoms."""
    loss: Literal[
        "product",
        "masked",
        "product_masked",
        "esm2",
        "split_kl",
        "division",
        "escm2_ips",
        "dcmt",
    ] = "product_masked"
    """What the towers are and how they are trained; one file each in components/model/losses."""
    age_corrected: bool = Field(default_factory=lambda chosen: chosen["loss"] in _AGED)
    """Learn the chance of a conversion that a label may be too young to show, as the losses product, masked and product_masked can and,
    where nothing else is said, do."""
    embedding_width: int = Field(default=18, ge=1)
    hidden: Layers = (200, 80)
    """Of each tower, where the bottom has no sizes of its own below."""
    activation: Literal["relu", "prelu"] = "relu"
    shared_bottom: SharedBottom = SharedBottom()
    mmoe: Mmoe = Mmoe()
    ple: Ple = Ple()
    nfwfm: Nfwfm = Nfwfm()
    dupn: Dupn = Dupn()
    escm2_ips: Escm2Ips = Escm2Ips()
    dcmt: Dcmt = Dcmt()
    gate_dropout: Dropout = 0.1
    """Of mmoe's and ple's gates: without it one of them may take all the weight."""
    interaction_dropout: Dropout = 0.1
    """Of nfwfm's interactions."""
    ctr_weight: float = Field(default=1.0, ge=0)
    ctcvr_weight: float = Field(default=1.0, ge=0)
    ctavr_weight: float = Field(default=1.0, ge=0)
    """Of a click that an action follows, in esm2."""
    masked_cvr_weight: float = Field(default=2.5, ge=0)
    """Of the auxiliary term of product_masked (README.md of components/model has the table); in masked and split_kl it is 1."""
    kl_weight: float = Field(default=1.0, ge=0)
    """Of the bound in split_kl."""
    attention_hidden: Layers = (36,)
    """Of the weights of lists pooled by attention (DIN's size)."""
    position_tower: bool = False
    """Let an impression's position add to the click's logit in training, and be missing when scoring."""
    position_buckets: int = Field(default=64, ge=2)
    """Later positions count as the last."""
    position_dropout: Dropout = 0.1
    """Share of the rows that train without their position."""
    regressions: tuple[Regression, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [head.name for head in self.regressions]
        if taken := sorted({name for name in names if name in _TOWERS or names.count(name) > 1}):
            raise ValueError(f"regressions: expected names of their own, found {', '.join(taken)} taken; choose others")
        if self.bottom == "dbmtl" and not self.hidden:
            raise ValueError("bottom dbmtl: expected at least one layer in model.hidden, which the other towers read, found none")
        if self.age_corrected and self.loss not in _AGED:
            raise ValueError(f"age_corrected: expected one of the losses {', '.join(_AGED)}, found {self.loss}; choose one or leave it out")
        return self


class Train(Section):
    """One day's fine-tuning."""

    where: Literal["local", "kubeflow"] = Field(default="local", exclude=True)
    """Where the DAG trains: in its own task, or as a TrainJob on the cluster of `[kubeflow]`. No part of the fingerprint; read where the
    DAG is parsed."""
    batch_size: int = Field(default=512, ge=1)
    """With 1024 a day of taobao is seven steps and its CTCVR AUC half a point lower; 256 gains no more and is slower."""
    learning_rate: float = Field(default=0.001, ge=0)
    """Adam, towers."""
    table_learning_rate: float = Field(default=0.01, ge=0)
    """Row-wise Adagrad, embedding tables. From 0.005 to 0.02 the three real sets' AUCs agree within seed noise; at 0.1 rare ids overfit."""
    seed: int = 2018
    threads: int = Field(default=1, ge=1)
    """Of torch, beside one that prepares the next chunk; they decide the bytes too. On two idle cores 2 are 1.5 times as fast in float32,
    a tenth in bfloat16; where other steps share the cores they are slower than 1."""
    missing_parent: Literal["fail", "last_trained", "cold_start"] = "fail"
    """What to do when the day before has no checkpoint although an earlier day has one."""
    full_retrain_every_days: int = Field(default=0, ge=0)
    """On days whose number since the first of the year 1 this divides, every Sunday for 7, the challenger is no child of yesterday's
    but a cold start on the days below. 0: never."""
    full_retrain_days: int = Field(default=30, ge=1)
    """How many days a full retrain reads, its own the last, with the labels known by then; where there are fewer, all."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the layers' matrix products, in training and scoring. On a CPU that multiplies bfloat16 (AVX512-BF16, AMX) it is twice as fast,
    at equal AUC; on others slower. Scores differ in the third digit from those of an exported model, which computes in float32."""
    chunk_rows: int = Field(default=262_144, ge=1)
    """Rows held and shuffled at once."""
    negative_rate: float = Field(default=1.0, gt=0, le=1)
    """Share of the unclicked rows that are trained on. Scores are corrected for it; it cannot change between a parent and its child."""
    most_waiting: int = Field(default=1_000_000, ge=1)
    """Ids of an exact table that are remembered before they are admitted, 16 bytes each; once there are more, a quarter is forgotten."""
    calibration_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of a day's rows, the same whichever run, that calibrate what the others trained; 0: scores stay as the network gives them."""
