"""Fitting a checkpoint's calibration on rows that it has not trained on."""

from dataclasses import replace

import polars as pl
from torch import Tensor

from components.checkpoints import Checkpoint
from components.errors import DataError
from components.model.calibration import CALIBRATED, PREFIX, fit, without_maps
from components.model.scoring import score
from components.profile import Profile
from components.settings import Settings


def calibrate(rows: pl.LazyFrame, checkpoint: Checkpoint, *, profile: Profile, settings: Settings) -> Checkpoint:
    """Return the checkpoint with maps of its own scores, unsaved: of pCTR on all rows, of pCVR on the clicked. `score` applies them.

    rows: assembled samples with `clicked` and `converted` that the checkpoint has not trained on. An earlier calibration is replaced.
    What was fitted is in the manifest. Raises DataError where the rows do not hold both outcomes of each.
    """
    plain = replace(checkpoint, model=without_maps(checkpoint.model))
    scored = score(rows, plain, profile=profile, settings=settings)
    labelled = scored.hstack(rows.select("clicked", "converted").collect(engine="streaming").cast(pl.Boolean))
    fitted: dict[str, Tensor] = {}
    report = {}
    for name, label, known in zip(CALIBRATED, ("clicked", "converted"), (labelled, labelled.filter("clicked")), strict=True):
        positives = int(known[label].sum())
        if positives in (0, known.height):
            raise DataError(
                f"calibrate {name}: expected rows with {label} and rows without, found {positives} of {known.height}; take more of a day"
            )
        method, tensor = fit(known[name].to_numpy(), known[label].cast(pl.Float64).to_numpy())
        fitted[f"{PREFIX}{name}.{method}"] = tensor
        report[name] = {"method": method, "rows": known.height, "positives": positives}
    return Checkpoint({**plain.model, **fitted}, checkpoint.optimizer, {**checkpoint.manifest, "calibration": report})
