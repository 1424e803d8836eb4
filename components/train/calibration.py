"""Fitting a checkpoint's calibration on rows that it has not trained on."""

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
from torch import Tensor

from components.checkpoints import Checkpoint
from components.errors import OneOutcomeError
from components.model.calibration import CALIBRATED, PREFIX, fit, without_maps
from components.model.hashing import hash_ids
from components.model.losses.loss import KNOWN_SHARE
from components.model.scoring import score
from components.model_settings import Train
from components.profile import Profile
from components.settings import Settings
from components.train.loop import fine_tune

log = logging.getLogger("esmm")
_STEPS = 1 << 24  # of a share


def fine_tune_calibrated(
    rows: pl.LazyFrame, parent: Checkpoint | None, *, profile: Profile, settings: Settings, progress: Callable[[int], None] | None = None
) -> Checkpoint:
    """Fine-tune on all rows but train.calibration_share of them, and calibrate the challenger on those; as `fine_tune` where it is 0.

    Where the rows held back are all of one outcome the challenger has no maps, and the manifest and the log say why.
    """
    challenger = fine_tune(rows_to_train(rows, settings.train), parent, profile=profile, settings=settings, progress=progress)
    return calibrated(rows, challenger, profile=profile, settings=settings)


def rows_to_train(rows: pl.LazyFrame, options: Train) -> pl.LazyFrame:
    """Return the rows that are not held back."""
    return rows.filter(~held_back(options.calibration_share)) if options.calibration_share else rows


def calibrated(rows: pl.LazyFrame, challenger: Checkpoint, *, profile: Profile, settings: Settings) -> Checkpoint:
    """Return a challenger calibrated on those of the rows that were held back; itself where none were, or all are of one outcome."""
    share = settings.train.calibration_share
    if not share:
        return challenger
    try:
        return calibrate(rows.filter(held_back(share)), challenger, profile=profile, settings=settings)
    except OneOutcomeError as reason:
        log.warning("%s; the challenger is not calibrated", reason)
        return replace(challenger, manifest={**challenger.manifest, "calibration": {"left_out": str(reason)}})


def held_back(share: float) -> pl.Expr:
    """Return whether a row is among a share of all, by a stable hash of its impression_id: a larger share has the rows of a smaller."""

    def among(ids: pl.Series) -> pl.Series:
        return pl.Series(hash_ids(ids, table="calibration", rows=_STEPS + 1) <= share * _STEPS)

    return pl.col("impression_id").cast(pl.String).map_batches(among, return_dtype=pl.Boolean, is_elementwise=True)


def calibrate(rows: pl.LazyFrame, checkpoint: Checkpoint, *, profile: Profile, settings: Settings) -> Checkpoint:
    """Return the checkpoint with maps of its own scores, unsaved: of pCTR on all rows, of pCVR on the clicked. `score` applies them.

    rows: assembled samples with `clicked` and `converted` that the checkpoint has not trained on. An earlier calibration is replaced.
    Where the loss corrects for young labels a known conversion counts as 1 / `known_share` of one, which is right on average.
    What was fitted is in the manifest. Raises OneOutcomeError where the rows do not hold both outcomes of each.
    """
    plain = replace(checkpoint, model=without_maps(checkpoint.model))
    scored = score(rows, plain, profile=profile, settings=settings)
    aged = [KNOWN_SHARE] if settings.model.age_corrected else []
    labelled = scored.hstack(rows.select(pl.col("clicked", "converted").cast(pl.Boolean), *aged).collect(engine="streaming"))
    fitted: dict[str, Tensor] = {}
    report = {}
    for name, label, known in zip(CALIBRATED, ("clicked", "converted"), (labelled, labelled.filter("clicked")), strict=True):
        positives = int(known[label].sum())
        if positives in (0, known.height):
            raise OneOutcomeError(
                f"calibrate {name}: expected rows with {label} and rows without, found {positives} of {known.height}; take more of a day"
            )
        weight_N = known[KNOWN_SHARE].to_numpy() if aged and label == "converted" else np.ones(known.height)
        method, tensor = fit(known[name].to_numpy(), known[label].cast(pl.Float64).to_numpy() / weight_N)
        fitted[f"{PREFIX}{name}.{method}"] = tensor
        report[name] = {"method": method, "rows": known.height, "positives": positives}
    return Checkpoint({**plain.model, **fitted}, checkpoint.optimizer, {**checkpoint.manifest, "calibration": report})
