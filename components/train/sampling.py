"""Leaving out a share of the unclicked rows, which are many and say little; scoring corrects for it (components/model/sampling.py)."""

import numpy as np
import polars as pl

from components.checkpoints import Checkpoint
from components.errors import CheckpointError
from components.model.sampling import negative_rate
from components.model_settings import Train

_STREAM = 1
"""Keeps these draws apart from the shuffle's, which are seeded by (seed, chunk)."""


def sampled(chunk: pl.DataFrame, options: Train, *, number: int) -> pl.DataFrame:
    """Return all clicks of a chunk and a share of its other rows, in order; at a rate of 1 the chunk as it is.

    number: the chunk's, counted from the cold start; draws are seeded by (seed, number).
    """
    if options.negative_rate == 1:
        return chunk
    drawn = np.random.default_rng([options.seed, number, _STREAM]).random(chunk.height)
    return chunk.filter(pl.col("clicked") | pl.Series(drawn < options.negative_rate))


def check_rate(parent: Checkpoint | None, options: Train) -> None:
    """Raise CheckpointError where a parent learned the click's odds at another rate."""
    if parent and negative_rate(parent.manifest) != options.negative_rate:
        raise CheckpointError(
            f"checkpoint {parent.version or '(not saved)'}: expected training at train.negative_rate {options.negative_rate}, found that "
            f"it was trained at {negative_rate(parent.manifest)}; restore that rate, or start anew (train.missing_parent=cold_start)"
        )
