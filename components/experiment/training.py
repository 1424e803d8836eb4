"""An arm trained, on a world's rows or a real set's, and what BASE, the one CTR network, says to the others."""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from components.experiment.arms import ARMS, BASE, Arm
from components.experiment.rows import Given
from components.model_settings import Model, Train
from components.settings import Settings, altered

Job = tuple[str, int]
"""Arm and seed."""
Scorer = Callable[[pl.LazyFrame], pl.DataFrame]
"""Rows -> one row for each, in their order: impression_id, pctr, pcvr and what else the scorer knows."""


def arm_settings(settings: Settings, arm: Arm, seed: int) -> Settings:
    """Return the settings of a run: the arm's network and training, the seed, one thread; labels as they are, unless the arm corrects."""
    model = Model.model_validate({**settings.model.model_dump(), "age_corrected": False, **arm.model})
    train = Train.model_validate({**settings.train.model_dump(), **arm.train, "seed": seed, "threads": 1})
    return altered(settings, model=model, train=train)


def train_arm(job: Job, rows: pl.LazyFrame, pctr: pl.LazyFrame, settings: Settings) -> Scorer:
    """Train an arm from a cold start, once over the rows that it chooses, and return what scores; adds `pctcvr`.

    rows: in time order, with what the arm's network and loss read.  pctr: BASE's on the clicked rows, of the same seed.
    """
    from components.model.scoring import score
    from components.train.calibration import fine_tune_calibrated

    name, seed = job
    own = arm_settings(settings, ARMS[name], seed)
    trained = fine_tune_calibrated(ARMS[name].rows(Given(rows, pctr, seed)), None, profile=own.profile, settings=own)
    return lambda asked: score(asked, trained, profile=own.profile, settings=own)


def base_first(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Split jobs: BASE's, whose pCTR the others are given, then the rest."""
    return [job for job in jobs if job[0] == BASE], [job for job in jobs if job[0] != BASE]


def keep_reference(path: Path, say: Scorer, rows: pl.LazyFrame) -> None:
    """Write what BASE says of rows, whole: impression_id and `reference_pctr`. Its click network shares nothing with the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".aside")
    say(rows).select("impression_id", reference_pctr="pctr").write_parquet(aside)
    aside.replace(path)


def read_reference(path: Path) -> pl.LazyFrame:
    """Read what `keep_reference` wrote; nothing before BASE has run."""
    schema = {"impression_id": pl.String, "reference_pctr": pl.Float64}
    return pl.scan_parquet(path) if path.exists() else pl.LazyFrame(schema=schema)
