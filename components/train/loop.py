"""One pass over a day's rows: chunks in time order, shuffled within, in batches, from a parent's parameters and optimizer state."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import chain, pairwise

import numpy as np
import polars as pl

from components.checkpoints import Checkpoint
from components.errors import DataError
from components.model.encoding import Encoded, Layout, number, read
from components.model.losses import initial_biases
from components.model.quantiles import learn_layout
from components.model.restore import as_trained, describe
from components.model.stream import read_chunks
from components.model.threads import torch_threads
from components.profile import Profile
from components.settings import Settings
from components.train.admission import Admission
from components.train.batches import columns_to_train, label, labels_of, optional_labels
from components.train.carry import carried_over
from components.train.faults import Fault, fault_of_labels
from components.train.learner import Learner
from components.train.sampling import check_rate, sampled
from components.train.tally import Tally


def fine_tune(
    rows: pl.LazyFrame, parent: Checkpoint | None, *, profile: Profile, settings: Settings, progress: Callable[[int], None] | None = None
) -> Checkpoint:
    """Train a parent (None: a cold start) on the rows, once, and return the challenger, unsaved.

    rows: assembled samples with `clicked` and `converted`, in time order; at most a few chunks of train.chunk_rows are held at once.
    progress: called with the number of rows done so far. The same rows, parent, settings and torch give the same bytes, and days
    trained in several processes, saved between them, the same bytes as in one. The parent is not changed.
    Raises TrainingDivergedError where a label, the loss, a gradient or a parameter is not finite, in that step; CheckpointError where the
    parent does not fit the profile or the network, SettingsError where the network learns from a column that the rows do not have,
    DataError where there are no rows.
    """
    layout, tally = Layout.of(profile), Tally.after(parent)
    check_rate(parent, settings.train)
    with torch_threads(settings.train.threads):
        columns = columns_to_train(rows, layout, profile, settings.model)
        stored = tally.reading(read_chunks(rows.select(columns), settings.train.chunk_rows))
        chunks = sampled(stored, settings.train, first=tally.chunks)
        first = next(chunks, None)
        if first is None:
            raise DataError("train: expected assembled samples, found no rows; label and assemble the day first")
        parent, carried = carried_over(parent, first, layout, settings) if parent else (None, {})
        learner = Learner.resume(parent, as_trained(layout, parent.manifest), settings) if parent else _cold_start(first, layout, settings)
        admission = Admission(parent, learner.layout, most_waiting=settings.train.most_waiting)
        for chunk in chain([first], chunks):
            for done in _train_chunk(learner, admission, chunk, tally, settings):
                if progress:
                    progress(done)
        if not tally.rows:
            raise DataError(f"train: expected rows to train on, found that train.negative_rate {settings.train.negative_rate} left none")
        if fault := learner.unread_fault():
            raise tally.diverged(fault, batches_ahead=0)
    model, optimizer = learner.tensors()
    ids, waiting = admission.tensors()
    seen = {"ids": admission.facts(), "first_chunk": parent.manifest["chunks"] if parent else 0}
    facts = {**tally.manifest(parent, settings), **describe(learner.layout, settings.model), **seen, **carried}
    return Checkpoint({**model, **ids}, {**optimizer, **waiting}, facts)


def _cold_start(rows: pl.DataFrame, layout: Layout, settings: Settings) -> Learner:
    """Return a learner that begins by predicting the rates of the first rows, its numbers bucketed by their quantiles."""
    return Learner.new(learn_layout(layout, rows), settings, initial_biases(labels_of(rows, settings.model), settings.model))


def _encode(learner: Learner, admission: Admission, chunk: pl.DataFrame, tally: Tally, settings: Settings) -> Encoded:
    """Encode a chunk once the ids that it admits have rows, drawn from the seed."""
    samples = read(chunk, learner.layout)
    for ids in admission.admit(samples, chunk, number=tally.chunks):
        learner.grow(admission.pool.rows)
        for block in ids.blocks(settings.train.batch_size):
            learner.renew(block, settings.train.seed)
    return number(samples, learner.layout, admission.known)


def _train_chunk(learner: Learner, admission: Admission, chunk: pl.DataFrame, tally: Tally, settings: Settings) -> Iterator[int]:
    """Train on a chunk in batches of nearly equal size; yields the rows done so far. Sampling may have left the chunk without rows."""
    generator = np.random.default_rng([settings.train.seed, tally.chunks])
    order_N = generator.permutation(chunk.height)
    learner.noise.manual_seed(int(generator.integers(2**63)))
    samples = _encode(learner, admission, chunk, tally, settings)
    labelled = label(samples, chunk, settings.model, generator).ordered(order_N)  # numbers are moved sooner than the columns they are of
    batches = -(-chunk.height // settings.train.batch_size)
    bounds = [chunk.height * place // max(batches, 1) for place in range(batches + 1)]
    if wrong := fault_of_labels(labelled.labels, optional_labels(settings.model)):
        fault, place = wrong
        raise tally.diverged(fault, batches_ahead=bisect_right(bounds, place))
    for first, last in pairwise(bounds):
        losses = learner.step(labelled.slice(first, last))
        if isinstance(losses, Fault):
            raise tally.diverged(losses)
        tally.add_batch(last - first, losses)
        yield tally.rows
    tally.add_chunk(int(labelled.labels["clicked"].sum()), int(labelled.labels["converted"].sum()))
