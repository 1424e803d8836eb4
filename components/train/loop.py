"""One pass over a day's rows: chunks in time order, shuffled within, in batches, from a parent's parameters and optimizer state."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain

import polars as pl

from components.checkpoints import Checkpoint
from components.errors import DataError
from components.model.encoding import Layout
from components.model.losses import initial_biases
from components.model.quantiles import learn_layout
from components.model.restore import as_trained, describe
from components.model.threads import torch_threads
from components.profile import Profile
from components.settings import Settings
from components.train.admission import Admission
from components.train.batches import columns_to_train, labels_of, optional_labels
from components.train.carry import carried_over
from components.train.faults import Fault, fault_of_labels
from components.train.learner import Learner
from components.train.preparing import Chunk, batches, begin, bounds, prepared, stored
from components.train.sampling import check_rate
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
        chunks = stored(rows.select(columns), settings.train.chunk_rows, settings.train, first=tally.chunks)
        first = next(chunks, None)
        if first is None:
            raise DataError("train: expected assembled samples, found no rows; label and assemble the day first")
        parent, carried = carried_over(parent, first.rows, layout, settings) if parent else (None, {})
        learner = _learner(parent, first.rows, layout, settings)
        admission = Admission(parent, learner.layout, most_waiting=settings.train.most_waiting)
        with closing(prepared(chain([first], chunks), learner.layout, admission, settings)) as ready:
            del first  # a chunk's columns are many times its numbers
            for done in chain.from_iterable(_train_chunk(learner, chunk, tally, settings) for chunk in ready):
                if progress:
                    progress(done)
        if not tally.rows:
            raise DataError(f"train: expected rows to train on, found that train.negative_rate {settings.train.negative_rate} left none")
        if fault := learner.unread_fault():
            raise tally.diverged(fault, batches_ahead=0)
    model, optimizer = learner.tensors()
    ids, waiting = admission.tensors()
    facts = {**tally.manifest(parent, settings), **describe(learner.layout, settings.model), "ids": admission.facts(), **carried}
    return Checkpoint({**model, **ids}, {**optimizer, **waiting}, facts)


def _learner(parent: Checkpoint | None, rows: pl.DataFrame, layout: Layout, settings: Settings) -> Learner:
    """Go on from a parent, or begin by predicting the rates of the first rows, numbers bucketed by their quantiles."""
    if parent:
        return Learner.resume(parent, as_trained(layout, parent.manifest), settings)
    return Learner.new(learn_layout(layout, rows), settings, initial_biases(labels_of(rows, settings.model), settings.model))


def _train_chunk(learner: Learner, chunk: Chunk, tally: Tally, settings: Settings) -> Iterator[int]:
    """Train on a chunk in batches of nearly equal size; yields the rows done so far. Sampling may have left the chunk without rows."""
    tally.read = chunk.read
    begin(chunk, learner, settings.train)
    labels, (edges,) = chunk.labelled.labels, bounds([len(chunk.labelled)], settings.train.batch_size)
    if wrong := fault_of_labels(labels, optional_labels(settings.model)):
        fault, place = wrong
        raise tally.diverged(fault, batches_ahead=bisect_right(edges, place))
    for batch in batches(chunk.labelled, edges):
        losses = learner.step(batch)
        if isinstance(losses, Fault):
            raise tally.diverged(losses)
        tally.add_batch(len(batch), losses)
        yield tally.rows
    tally.add_chunk(int(labels["clicked"].sum()), int(labels["converted"].sum()))
