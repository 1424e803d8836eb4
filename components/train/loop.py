"""One pass over a day's rows: chunks in time order, shuffled within, in batches, from a parent's parameters and optimizer state."""

from collections.abc import Callable, Iterator
from itertools import chain, pairwise

import numpy as np
import polars as pl
import torch

from components.checkpoints import Checkpoint
from components.errors import DataError
from components.model.encoding import Layout, encode
from components.model.esmm import BaseRates
from components.model.restore import describe
from components.model.stream import read_chunks
from components.model.threads import torch_threads
from components.profile import Profile
from components.settings import Settings
from components.train.learner import Labelled, Learner
from components.train.tally import Tally

_LABELS = ("clicked", "converted")


def fine_tune(
    rows: pl.LazyFrame, parent: Checkpoint | None, *, profile: Profile, settings: Settings, progress: Callable[[int], None] | None = None
) -> Checkpoint:
    """Train a parent (None: a cold start) on the rows, once, and return the challenger, unsaved.

    rows: assembled samples with `clicked` and `converted`, in time order; at most a few chunks of train.chunk_rows are held at once.
    progress: called with the number of rows done so far. The same rows, parent, settings and torch give the same bytes, and days
    trained in several processes, saved between them, the same bytes as in one. The parent is not changed.
    Raises TrainingDivergedError where the loss or a parameter stops being finite, CheckpointError where the parent does not fit the
    profile, DataError where there are no rows.
    """
    layout, tally = Layout.of(profile), Tally.after(parent)
    with torch_threads(settings.train.threads):
        chunks = read_chunks(rows.select(list(dict.fromkeys([*_LABELS, *layout.columns]))), settings.train.chunk_rows)
        first = next(chunks, None)
        if first is None:
            raise DataError("train: expected assembled samples, found no rows; label and assemble the day first")
        learner = Learner.resume(parent, layout, settings) if parent else Learner.new(layout, settings, _base_rates(first))
        for chunk in chain([first], chunks):
            for done in _train_chunk(learner, chunk, tally, settings):
                if progress:
                    progress(done)
        if not learner.is_finite():
            raise tally.diverged("a parameter", range(tally.rows))
    model, optimizer = learner.tensors()
    return Checkpoint(model, optimizer, {**tally.manifest(parent, settings), **describe(layout, settings.model)})


def _train_chunk(learner: Learner, chunk: pl.DataFrame, tally: Tally, settings: Settings) -> Iterator[int]:
    """Train on a chunk in batches of nearly equal size; yields the rows done so far."""
    generator = np.random.default_rng([settings.train.seed, tally.chunks])
    shuffled = chunk[generator.permutation(chunk.height)]
    samples = encode(shuffled, learner.layout)
    clicked, converted = (torch.from_numpy(shuffled[name].cast(pl.Float32).to_numpy(writable=True)) for name in _LABELS)
    rows = range(tally.rows, tally.rows + chunk.height)
    batches = -(-chunk.height // settings.train.batch_size)
    for first, last in pairwise(chunk.height * place // batches for place in range(batches + 1)):
        losses = learner.step(Labelled(samples.slice(first, last), clicked[first:last], converted[first:last]))
        if losses is None:
            raise tally.diverged("the loss", rows)
        tally.add_batch(last - first, losses)
        yield tally.rows
    tally.add_chunk(int(clicked.sum()), int(converted.sum()))


def _base_rates(rows: pl.DataFrame) -> BaseRates:
    """Return the rates of the first rows, smoothed by one event and one event that did not happen: never 0 or 1."""
    clicks, conversions = int(rows["clicked"].sum()), int(rows["converted"].sum())
    return BaseRates((clicks + 1) / (rows.height + 2), (conversions + 1) / (clicks + 2))
