"""Probabilities of a checkpoint on assembled samples."""

from collections.abc import Iterator, Sequence
from itertools import starmap

import polars as pl
import torch
from torch import Tensor

from components.ahead import ahead
from components.checkpoints import Checkpoint
from components.errors import SettingsError
from components.model.bottoms.dupn import Dupn
from components.model.calibration import calibrated
from components.model.embedding import embed
from components.model.encoding import Encoded, Layout, encode
from components.model.identity import known_ids
from components.model.losses import LOSSES
from components.model.network import Network
from components.model.precision import layers_in
from components.model.restore import as_trained, restore
from components.model.sampling import corrected, negative_rate
from components.model.stream import read_chunks
from components.model.threads import torch_threads
from components.profile import Profile
from components.settings import Settings

_BLOCK_ROWS = 4096
"""Scored at once. Fixed, so that the same rows give the same bytes whatever the training batch is."""
_CHUNK_ROWS = 16 * _BLOCK_ROWS
"""Read at once: whole blocks, whatever the settings."""


class _Scorer:
    """A checkpoint, ready to score."""

    def __init__(self, checkpoint: Checkpoint, profile: Profile, settings: Settings) -> None:
        """Raise CheckpointError where it does not fit."""
        self.checkpoint = checkpoint
        self.settings = settings
        self.layout = as_trained(Layout.of(profile), checkpoint.manifest)
        self.network = restore(checkpoint, self.layout, settings.model)
        self.known = known_ids(checkpoint.model)

    def scores(self, samples: Encoded, heads: tuple[str, ...]) -> pl.DataFrame:
        """Return pctr, pcvr, pctcvr and what the heads predict."""
        with torch_threads(self.settings.train.threads), layers_in(self.settings.train.precision):
            logits = _logits(samples, self.network, self.layout)
            scores = {**_probabilities(logits, self.checkpoint, self.settings), **{head: logits[head] for head in heads}}
        return pl.DataFrame({name: values.numpy() for name, values in scores.items()})


def score(rows: pl.LazyFrame, checkpoint: Checkpoint, *, profile: Profile, settings: Settings, heads: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return impression_id, pctr, pcvr, pctcvr and what the regression `heads` predict (Float64), one row per row of `rows`, in order.

    rows: assembled samples; positions count as missing. The network runs in train.precision, on train.threads; probabilities are formed
    from its logits in float64, so pctcvr is pctr * pcvr. Raises CheckpointError where the checkpoint was trained for other fields than the
    profile's, or another network than the settings'.
    """
    return score_all(rows, [checkpoint], profile=profile, settings=settings, heads=heads)[0]


def score_all(
    rows: pl.LazyFrame, checkpoints: Sequence[Checkpoint], *, profile: Profile, settings: Settings, heads: tuple[str, ...] = ()
) -> list[pl.DataFrame]:
    """Return what `score` does, of each checkpoint: the rows are read once."""
    empty = pl.DataFrame(schema={"impression_id": pl.String, **dict.fromkeys(("pctr", "pcvr", "pctcvr", *heads), pl.Float64)})
    chunks = list(score_chunks(rows, checkpoints, profile=profile, settings=settings, heads=heads))
    return [pl.concat([empty, *(of_all[place] for of_all in chunks)]) for place in range(len(checkpoints))]


def score_chunks(
    rows: pl.LazyFrame, checkpoints: Sequence[Checkpoint], *, profile: Profile, settings: Settings, heads: tuple[str, ...] = ()
) -> Iterator[list[pl.DataFrame]]:
    """Return what `score_all` does, 65,536 rows at a time and the last ones: a second thread encodes the next while these are scored."""
    scorers = [_Scorer(checkpoint, profile, settings) for checkpoint in checkpoints]
    columns = dict.fromkeys(["impression_id", *(column for scorer in scorers for column in scorer.layout.columns)])

    def encoded(chunk: pl.DataFrame) -> tuple[pl.DataFrame, list[Encoded]]:
        return chunk.select(pl.col("impression_id").cast(pl.String)), _encoded(chunk, scorers)

    def scored(ids: pl.DataFrame, of_all: list[Encoded]) -> list[pl.DataFrame]:
        return [ids.hstack(scorer.scores(samples, heads)) for scorer, samples in zip(scorers, of_all, strict=True)]

    return starmap(scored, ahead(map(encoded, read_chunks(rows.select(*columns), _CHUNK_ROWS))))


def _encoded(chunk: pl.DataFrame, scorers: Sequence[_Scorer]) -> list[Encoded]:
    """Encode a chunk for each model, once for all whose ids have the same rows."""
    of_all: list[Encoded] = []
    for place, scorer in enumerate(scorers):
        alike = (other for other, earlier in enumerate(scorers[:place]) if not scorer.layout.exact and earlier.layout == scorer.layout)
        same = next(alike, None)
        of_all.append(encode(chunk, scorer.layout, scorer.known) if same is None else of_all[same])
    return of_all


def score_candidates(
    user: pl.DataFrame, candidates: pl.DataFrame, checkpoint: Checkpoint, *, profile: Profile, settings: Settings
) -> pl.DataFrame:
    """Return pctr, pcvr and pctcvr (Float64) of one user's candidates, in their order: the user's half is computed once.

    user: one row with the columns of the user's fields; candidates: a row for each, with the columns of the items' fields. The scores are
    those of `score` on the joined rows, to 1e-6. Raises SettingsError for a bottom that has no halves, CheckpointError as `score` does.
    """
    scorer = _Scorer(checkpoint, profile, settings)
    network, known, bottom = scorer.network, scorer.known, scorer.network.bottom
    if not isinstance(bottom, Dupn):
        raise SettingsError(f"split scoring: expected model.bottom dupn, whose halves are apart, found {settings.model.bottom}; use score")
    if user.height != 1:
        raise ValueError(f"user: expected one row, found {user.height}")
    mine, theirs = scorer.layout.of_side("user"), scorer.layout.of_side("item")
    with torch_threads(settings.train.threads), layers_in(settings.train.precision), torch.inference_mode():
        memory = bottom.user_half(embed(network.table, encode(user, mine, known), mine))
        shared = [name for name in theirs.columns if name in mine.columns and name not in candidates.columns]  # read by crosses of both
        items = encode(candidates.with_columns(pl.lit(user[name][0], user.schema[name]).alias(name) for name in shared), theirs, known)
        shown = (network.attention(embed(network.table, block, theirs)) for block in _blocks(items))
        blocks = [network.logits(bottom.item_half(memory, block)) for block in shown]
        probabilities = _probabilities(_joined(blocks, network), checkpoint, settings)
    return pl.DataFrame({name: values.numpy() for name, values in probabilities.items()})


def user_columns(profile: Profile) -> list[str]:
    """Return the columns of the user's half."""
    return Layout.of(profile).of_side("user").columns


def _probabilities(logits: dict[str, Tensor], checkpoint: Checkpoint, settings: Settings) -> dict[str, Tensor]:
    """Return pctr, pcvr and pctcvr: the network's, then for all rows instead of the sampled, then calibrated."""
    sampled = LOSSES[settings.model.loss].probabilities(logits)
    return calibrated(corrected(sampled, logits["ctr"], negative_rate(checkpoint.manifest)), checkpoint.model)


@torch.inference_mode()
def _logits(samples: Encoded, network: Network, layout: Layout) -> dict[str, Tensor]:
    """Return each task's logit_N, by task, in float64."""
    return _joined([network(embed(network.table, block, layout)) for block in _blocks(samples)], network)


def _blocks(samples: Encoded) -> Iterator[Encoded]:
    return (samples.slice(first, first + _BLOCK_ROWS) for first in range(0, len(samples), _BLOCK_ROWS))


def _joined(blocks: list[dict[str, Tensor]], network: Network) -> dict[str, Tensor]:
    return {task: torch.cat([block[task] for block in blocks] or [torch.empty(0)]).double() for task in network.tasks}
