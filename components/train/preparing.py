"""From stored rows to chunks that are ready to be trained on: a second thread prepares the next one while one is trained on.

Nothing here depends on the parameters, so that it makes no difference to the bytes how far ahead it runs.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import polars as pl
import torch

from components.ahead import ahead
from components.model.encoding import Layout, number, read
from components.model.stream import read_chunks
from components.model_settings import Train
from components.settings import Settings
from components.train.admission import Admission, Admitted
from components.train.batches import Batch, Labelled, label
from components.train.sampling import sampled

_BATCHES_AHEAD = 4


@dataclass(frozen=True)
class Stored:
    """Rows as they were read."""

    number: int
    """The chunk's, counted from the cold start."""
    rows: pl.DataFrame
    read: range
    """Which rows of the day these were, in time order, before sampling."""


@dataclass(frozen=True)
class Chunk:
    """Shuffled rows with all that it takes to train on them."""

    read: range
    """As `Stored` has it."""
    noise_seed: int
    """Of drop-out."""
    admitted: list[Admitted]
    """Ids that have a row of their own from this chunk on."""
    pool: int
    """Rows of the pool from this chunk on."""
    labelled: Labelled


def stored(rows: pl.LazyFrame, chunk_rows: int, options: Train, *, first: int) -> Iterator[Stored]:
    """Read rows in their order, so many at a time, and leave out a share of the unclicked ones; first: the first chunk's number."""
    begin = 0
    for place, chunk in enumerate(read_chunks(rows, chunk_rows), start=first):
        read = range(begin, begin + chunk.height)
        begin = read.stop
        yield Stored(place, sampled(chunk, options, number=place), read)


def prepared(chunks: Iterable[Stored], layout: Layout, admission: Admission, settings: Settings) -> Generator[Chunk]:
    """Yield chunks that are ready to be trained on, one of them made ahead."""
    return ahead(prepare(chunk, layout, admission, settings) for chunk in chunks)


class Trainee(Protocol):
    """What is trained on chunks."""

    noise: torch.Generator

    def grow(self, pool: int) -> None:
        """Let the table have a pool of so many rows."""

    def renew(self, ids: Admitted, seed: int) -> None:
        """Begin the rows of ids anew."""


def begin(chunk: Chunk, learner: Trainee, options: Train) -> None:
    """Let a learner begin a chunk: seed its noise, and give rows to the ids that it admits, some at a time."""
    learner.noise.manual_seed(chunk.noise_seed)
    learner.grow(chunk.pool)
    for block in (block for ids in chunk.admitted for block in ids.blocks(options.batch_size)):
        learner.renew(block, options.seed)


def bounds(heights: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return where the rows of each of several parts are cut into batches: as many for all, together of nearly equal size."""
    count = -(-sum(heights) // batch_size)
    return [[height * place // max(count, 1) for place in range(count + 1)] for height in heights]


def batches(labelled: Labelled, edges: Sequence[int]) -> Iterator[Batch]:
    """Cut samples into batches, a few of them made ahead."""
    return ahead((Batch.of(labelled.slice(first, last)) for first, last in pairwise(edges)), depth=_BATCHES_AHEAD)


def prepare(chunk: Stored, layout: Layout, admission: Admission, settings: Settings, stream: Sequence[int] = ()) -> Chunk:
    """Shuffle a chunk and encode it, the ids that it admits included; stream: keeps these draws apart from others of the chunk's number."""
    generator = np.random.default_rng([settings.train.seed, chunk.number, *stream])
    order_N = generator.permutation(chunk.rows.height)
    noise_seed = int(generator.integers(2**63))
    samples = read(chunk.rows, layout)
    admitted = admission.admit(samples, chunk.rows, number=chunk.number)
    encoded = number(samples, layout, admission.known, order_N)
    labelled = label(encoded, chunk.rows, order_N, settings.model, generator)
    return Chunk(chunk.read, noise_seed, admitted, admission.pool.rows, labelled)
