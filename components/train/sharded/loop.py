"""One pass over a day's rows by all ranks: each reads its own users' rows, in chunks and batches that they agree on."""

from bisect import bisect_right
from pathlib import Path

import numpy as np
import polars as pl

from components.checkpoints import Checkpoint
from components.errors import DataError, SettingsError, TrainingDivergedError
from components.model.encoding import Layout, encode
from components.model.losses import initial_biases
from components.model.quantiles import learn_layout
from components.model.restore import as_trained, describe
from components.model.threads import torch_threads
from components.profile import Profile
from components.settings import Settings
from components.train.batches import columns_to_train, label, labels_of, optional_labels
from components.train.calibration import calibrated, rows_to_train
from components.train.carry import carried_over
from components.train.faults import Fault, fault_of_labels, fault_of_table
from components.train.preparing import batches, stored
from components.train.sampling import check_rate
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
    Raises on all ranks, in the same step, TrainingDivergedError as in one process, of the first rank that has one; SettingsError where
    ids are exact, for each rank would admit ids of its own.
    """
    layout, tally = Layout.of(profile), Tally.after(parent)
    _check_ids(layout)
    check_rate(parent, settings.train)
    with torch_threads(settings.train.threads):
        read = rows.select(columns_to_train(rows, layout, profile, settings.model))
        first = next(stored(read, settings.train.chunk_rows, settings.train, first=tally.chunks), None)
        if first is None:
            raise DataError("train: expected assembled samples, found no rows; label and assemble the day first")
        parent, carried = carried_over(parent, first.rows, layout, settings) if parent else (None, {})
        learner = _learner(parent, first.rows, layout, settings, ranks)
        own = rows.filter(ranks.bucket.holds("user_id", "impression_id")).select(read.collect_schema().names())
        chunks = stored(own, -(-settings.train.chunk_rows // ranks.count), settings.train, first=tally.chunks)
        none = own.limit(0).collect()
        while any(ranks.gather((chunk := next(chunks, None)) is not None)):
            tally.read = chunk.read if chunk else tally.read
            _train_chunk(learner, chunk.rows if chunk else none, tally, settings)
        if not tally.rows:
            raise DataError(f"train: expected rows to train on, found that train.negative_rate {settings.train.negative_rate} left none")
        tensors = learner.tensors(folder)
        _agree(ranks, tally, fault_of_table(tensors[0]["table"], learner.layout) if tensors else None, batches_ahead=0)
    if not tensors:
        return None
    facts = {**tally.manifest(parent, settings), **describe(learner.layout, settings.model), **carried, "ranks": ranks.count}
    return Checkpoint(*tensors, facts)


def _check_ids(layout: Layout) -> None:
    if layout.exact:
        raise SettingsError(
            f"train under torchrun: expected hashed ids, found exact ones in {', '.join(field.name for field in layout.exact)}; "
            "hash them, or train in one process"
        )


def _learner(parent: Checkpoint | None, first: pl.DataFrame, layout: Layout, settings: Settings, ranks: Ranks) -> ShardedLearner:
    """Return a learner that begins as one process does; first: the first rows, of all users, of which a cold start learns."""
    if parent:
        return ShardedLearner.resume(parent, as_trained(layout, parent.manifest), settings, ranks)
    biases = initial_biases(labels_of(first, settings.model), settings.model)
    return ShardedLearner.new(learn_layout(layout, first), settings, biases, ranks)


def _train_chunk(learner: ShardedLearner, chunk: pl.DataFrame, tally: Tally, settings: Settings) -> None:
    """Train on one chunk of each rank, of which any may be empty, in as many batches on all of them."""
    ranks, options = learner.ranks, settings.model
    generator = np.random.default_rng([settings.train.seed, tally.chunks, _STREAM, ranks.number])
    learner.noise.manual_seed(int(generator.integers(2**63)))
    order_N = generator.permutation(chunk.height)
    labelled = label(encode(chunk, learner.layout, order_N=order_N), chunk, order_N, options, generator)
    bounds = _bounds(ranks.gather(chunk.height), settings.train.batch_size)
    own = bounds[ranks.number]
    fault, place = fault_of_labels(labelled.labels, optional_labels(options)) or (None, 0)
    _agree(ranks, tally, fault, batches_ahead=bisect_right(own, place))
    for batch, total in zip(batches(labelled, own), np.diff(bounds).sum(axis=0).tolist(), strict=True):
        losses = learner.step(batch, total)
        if losses is None or isinstance(losses, Fault):
            _agree(ranks, tally, losses)
        else:
            tally.add_batch(total, losses)
    counts = ranks.gather([int(labelled.labels[name].sum()) for name in ("clicked", "converted")])
    tally.add_chunk(*(sum(of_all) for of_all in zip(*counts, strict=True)))


def _bounds(heights: list[int], batch_size: int) -> list[list[int]]:
    """Return where each rank's rows are cut into batches: as many for all, together of nearly equal size."""
    batches = -(-sum(heights) // batch_size)
    return [[height * place // max(batches, 1) for place in range(batches + 1)] for height in heights]


def _agree(ranks: Ranks, tally: Tally, fault: Fault | None, *, batches_ahead: int = 1) -> None:
    """Raise TrainingDivergedError, the same on all ranks, where one of them has a fault; all must come to this call."""
    own = f"rank {ranks.number}, users of bucket {ranks.bucket}: {tally.diverged(fault, batches_ahead=batches_ahead)}" if fault else None
    if said := [text for text in ranks.gather(own) if text]:
        raise TrainingDivergedError(said[0])
