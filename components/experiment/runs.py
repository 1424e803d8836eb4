"""One run: an arm and a seed trained on a world's rows, judged, and kept as one JSON file that is written whole.

`<out>/runs/<world, labels, share>/<arm>-<seed>.json`; beside those of BASE what the reference CTR network says, `base-<seed>-*.parquet`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from components.experiment.arms import ARMS, BASE, ORACLE, Arm
from components.experiment.metrics import Findings, judge
from components.experiment.rows import sampled
from components.experiment.training import Job, Scorer, arm_settings, keep_reference, read_reference, train_arm
from components.experiment.worlds import LABELS, TRUTHS, Rows
from components.model.losses.loss import KNOWN_SHARE
from components.records import Record, read_object, write_text
from components.settings import Settings

Labelled = Literal["final", "logged"]
_JUDGED = ("final_clicked", "final_converted", "relevant", "converts_if_clicked", "true_pcvr")


@dataclass(frozen=True)
class Plan:
    """What all runs of an experiment share."""

    rows: Rows
    folder: Path
    """Of the runs' files."""
    settings: Settings
    """Those of the world: its profile, and the training that all arms get."""
    labels: Labelled
    """What arms are trained on: the truth's labels, or those that the run which trains on a row has of it, hours to a day old."""
    share: float
    """Of the training rows that are trained on, drawn anew for each seed, the same for every arm."""

    def kept(self, arm: str, seed: int) -> Path:
        """Return the file of a run."""
        return self.folder / f"{arm}-{seed}.json"

    def reference(self, seed: int, part: Literal["test", "clicks"]) -> Path:
        """Return the file of impression_id and `reference_pctr`: of the test day, or of the clicked training rows."""
        return self.folder / f"{BASE}-{seed}-{part}.parquet"

    def told(self, arm: str, seed: int) -> Record:
        """Return what decides a run, JSON-able: one that was made of anything else is run again."""
        return {
            "arm": arm,
            "seed": seed,
            "labels": self.labels,
            "share": self.share,
            "world": read_object(self.rows.facts, repair="remove it"),
            "settings": arm_settings(self.settings, ARMS[arm], seed).fingerprint,
        }

    def finished(self, arm: str, seed: int) -> Record | None:
        """Return a run that is there and made of the same, or None."""
        path = self.kept(arm, seed)
        found = read_object(path, repair="remove it and run the experiment again") if path.exists() else {}
        return found if found.get("told") == self.told(arm, seed) else None


def run(job: Job, plan: Plan) -> None:
    """Train, score and judge an arm, and keep the run. The run of BASE with the same seed must be there."""
    arm, seed = job
    say = _ask_truth if arm == ORACLE else _train(job, plan)
    test, pairs = say(pl.scan_parquet(plan.rows.test)), say(pl.scan_parquet(plan.rows.pairs))
    if arm == BASE:
        _keep_reference(seed, plan, say)
    findings = _judge(ARMS[arm], plan, test, pairs, pl.read_parquet(plan.reference(seed, "test")))
    kept = {"told": plan.told(arm, seed), "metrics": findings.values, "undefined": findings.reasons}
    write_text(plan.kept(arm, seed), json.dumps(kept, indent=1, allow_nan=False) + "\n")


def _train(job: Job, plan: Plan) -> Scorer:
    """Train an arm on a world's rows; its scorer says what the oracle's does."""
    seed = job[1]
    say = train_arm(job, training_rows(plan, seed), read_reference(plan.reference(seed, "clicks")), plan.settings)
    return lambda asked: say(asked).drop("pctcvr").with_columns(pctr_examined="pctr", pcvr_clicked="pcvr")


def training_rows(plan: Plan, seed: int) -> pl.LazyFrame:
    """Read the training rows with the labels that the arms learn from."""
    rows = sampled(pl.scan_parquet(plan.rows.train), plan.share, seed)
    if plan.labels == "logged":
        return rows
    return rows.with_columns(*(pl.col(f"final_{name}").alias(name) for name in LABELS), pl.lit(1.0).alias(KNOWN_SHARE))


def _ask_truth(asked: pl.LazyFrame) -> pl.DataFrame:
    """Score with the truth's own probabilities, a null where it has none: the oracle, which also knows the position of what was shown."""
    told = asked.collect_schema()
    return asked.select("impression_id", **{name: pl.col(f"true_{name}") for name in TRUTHS if f"true_{name}" in told}).collect()


def _keep_reference(seed: int, plan: Plan, say: Scorer) -> None:
    """Write BASE's pCTR of the test day, to judge with, and of the clicked training rows, to choose from."""
    keep_reference(plan.reference(seed, "test"), say, pl.scan_parquet(plan.rows.test))
    keep_reference(plan.reference(seed, "clicks"), say, training_rows(plan, seed).filter("clicked"))


def _judge(arm: Arm, plan: Plan, test: pl.DataFrame, pairs: pl.DataFrame, reference: pl.DataFrame) -> Findings:
    """Join the scores with the truth."""
    known = pl.read_parquet(plan.rows.test, columns=["impression_id", "item_id", *_JUDGED])
    known = known.select(pl.exclude("item_id"), item_pcvr=pl.col("true_pcvr").mean().over("item_id"))
    scored = known.join(test, on="impression_id", validate="1:1", maintain_order="left")
    scored = scored.join(reference, on="impression_id", validate="1:1", maintain_order="left")
    truth = pl.read_parquet(plan.rows.pairs, columns=["impression_id", "true_pcvr"])
    drawn = truth.join(pairs.select("impression_id", "pcvr"), on="impression_id", validate="1:1", maintain_order="left")
    return judge(scored, drawn, own_ctr=arm.own_ctr, min_positives=plan.settings.evaluation.min_positives)


def as_table(runs: dict[Job, Record]) -> pl.DataFrame:
    """Return the runs as one row per arm, seed and metric: value (null where undefined) and reason."""
    rows: list[dict[str, Any]] = [
        {"arm": arm, "seed": seed, "metric": name, "value": value, "reason": kept["undefined"].get(name)}
        for (arm, seed), kept in runs.items()
        for name, value in kept["metrics"].items()
    ]
    schema = {"arm": pl.String, "seed": pl.Int64, "metric": pl.String, "value": pl.Float64, "reason": pl.String}
    return pl.DataFrame(rows, schema=schema)
