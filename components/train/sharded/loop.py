"""One pass over a day's rows by all ranks: each reads its own users' rows, in chunks and batches that they agree on."""

from bisect import bisect_right
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from components.checkpoints import Checkpoint
from components.errors import DataError, TrainingDivergedError
from components.model.encoding import Layout
from components.model.losses import initial_biases
from components.model.quantiles import learn_layout
from components.model.restore import as_trained, describe
from components.model.threads import torch_threads
from components.profile import Profile
from components.settings import Settings
from components.train.admission import Admission
from components.train.batches import columns_to_train, labels_of, optional_labels
from components.train.calibration import calibrated, rows_to_train
from components.train.carry import carried_over
from components.train.faults import Fault, fault_of_labels, fault_of_table
from components.train.preparing import Chunk, Stored, batches, begin, bounds, prepare, stored
from components.train.sampling import check_rate
from components.train.sharded.identity import count_together, seen_by_all
from components.train.sharded.learner import ShardedLearner
from components.train.sharded.ranks import Ranks
from components.train.tally import Tally

_STREAM = 2
"""Keeps the shuffles' draws apart from those of one process and of `sampled`."""


def fine_tune_calibrated(
    rows: pl.LazyFrame, parent: Checkpoint | None, *, profile: Profile, settings: Settings, ranks: Ranks, folder: Path
) -> Checkpoint | None:
    """Fine-tune as `fine_tune`, and calibrate as one process does; the first rank does that, while the others end."""
    trained = fine_tune(rows_to_train(rows, settings.train), parent, profile=profile, settings=settings, ranks=ranks, folder=folder)
    return calibrated(rows, trained, profile=profile, settings=settings) if trained else None


def fine_tune(
    rows: pl.LazyFrame, parent: Checkpoint | None, *, profile: Profile, settings: Settings, ranks: Ranks, folder: Path
) -> Checkpoint | None:
    """Train a parent (None: a cold start) on the rows, once, and return the challenger, unsaved, on the first rank, None on the others.

    rows: all assembled samples, in time order, of which this rank reads its users', a few chunks of train.chunk_rows / ranks at once.
    folder: where the challenger's table is, as files. The same rows, parent, settings, torch and number of ranks give the same bytes.
    Raises on all ranks, in the same step, TrainingDivergedError as in one process, of the first rank that has one.
    """
    layout, tally = Layout.of(profile), Tally.after(parent)
    check_rate(parent, settings.train)
    with torch_threads(settings.train.threads):
        read = rows.select(columns_to_train(rows, layout, profile, settings.model))
        first = next(stored(read, settings.train.chunk_rows, settings.train, first=tally.chunks), None)
        if first is None:
            raise DataError("train: expected assembled samples, found no rows; label and assemble the day first")
        parent, carried = carried_over(parent, first.rows, layout, settings) if parent else (None, {})
        learner = _learner(parent, first.rows, layout, settings, ranks)
        together = partial(seen_by_all, ranks=ranks)
        admission = Admission(parent, learner.layout, most_waiting=settings.train.most_waiting, seen_by_all=together)
        own = rows.filter(ranks.bucket.holds("user_id", "impression_id")).select(read.collect_schema().names())
        chunks = stored(own, -(-settings.train.chunk_rows // ranks.count), settings.train, first=tally.chunks)
        none = own.limit(0).collect()
        del first
        while any(ranks.gather((chunk := next(chunks, None)) is not None)):
            chunk = chunk or Stored(tally.chunks, none, tally.read)
            _train_chunk(learner, prepare(chunk, learner.layout, admission, settings, (_STREAM, ranks.number)), tally, settings)
        if not tally.rows:
            raise DataError(f"train: expected rows to train on, found that train.negative_rate {settings.train.negative_rate} left none")
        tensors = learner.tensors(folder)
        _agree(ranks, tally, fault_of_table(tensors[0]["table"], learner.layout) if tensors else None, batches_ahead=0)
        count_together(admission.counts, ranks)
    if not tensors:
        return None
    (model, optimizer), (ids, waiting) = tensors, admission.tensors()
    told = {"ids": admission.facts(), **carried, "ranks": ranks.count}
    facts = {**tally.manifest(parent, settings), **describe(learner.layout, settings.model), **told}
    return Checkpoint({**model, **ids}, {**optimizer, **waiting}, facts)


def _learner(parent: Checkpoint | None, first: pl.DataFrame, layout: Layout, settings: Settings, ranks: Ranks) -> ShardedLearner:
    """Return a learner that begins as one process does; first: the first rows, of all users, of which a cold start learns."""
    if parent:
        return ShardedLearner.resume(parent, as_trained(layout, parent.manifest), settings, ranks)
    biases = initial_biases(labels_of(first, settings.model), settings.model)
    return ShardedLearner.new(learn_layout(layout, first), settings, biases, ranks)


def _train_chunk(learner: ShardedLearner, chunk: Chunk, tally: Tally, settings: Settings) -> None:
    """Train on one chunk of each rank, of which any may be empty, in as many batches on all of them."""
    ranks, labelled = learner.ranks, chunk.labelled
    tally.read = chunk.read
    begin(chunk, learner, settings.train)
    edges = bounds(ranks.gather(len(labelled)), settings.train.batch_size)
    own = edges[ranks.number]
    fault, place = fault_of_labels(labelled.labels, optional_labels(settings.model)) or (None, 0)
    _agree(ranks, tally, fault, batches_ahead=bisect_right(own, place))
    for batch, total in zip(batches(labelled, own), np.diff(edges).sum(axis=0).tolist(), strict=True):
        losses = learner.step(batch, total)
        if losses is None or isinstance(losses, Fault):
            _agree(ranks, tally, losses)
        else:
            tally.add_batch(total, losses)
    counts = ranks.gather([int(labelled.labels[name].sum()) for name in ("clicked", "converted")])
    tally.add_chunk(*(sum(of_all) for of_all in zip(*counts, strict=True)))


def _agree(ranks: Ranks, tally: Tally, fault: Fault | None, *, batches_ahead: int = 1) -> None:
    """Raise TrainingDivergedError, the same on all ranks, where one of them has a fault; all must come to this call."""
    own = f"rank {ranks.number}, users of bucket {ranks.bucket}: {tally.diverged(fault, batches_ahead=batches_ahead)}" if fault else None
    if said := [text for text in ranks.gather(own) if text]:
        raise TrainingDivergedError(said[0])
