"""Probabilities of a checkpoint on assembled samples."""

from collections.abc import Iterator

import polars as pl
import torch
from torch import Tensor

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


def score(rows: pl.LazyFrame, checkpoint: Checkpoint, *, profile: Profile, settings: Settings, heads: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return impression_id, pctr, pcvr, pctcvr and what the regression `heads` predict (Float64), one row per row of `rows`, in order.

    rows: assembled samples; positions count as missing. The network runs in train.precision, on train.threads; probabilities are formed
    from its logits in float64, so pctcvr is pctr * pcvr. Raises CheckpointError where the checkpoint was trained for other fields than the
    profile's, or another network than the settings'.
    """
    empty = pl.DataFrame(schema={"impression_id": pl.String, **dict.fromkeys(("pctr", "pcvr", "pctcvr", *heads), pl.Float64)})
    return pl.concat([empty, *score_chunks(rows, checkpoint, profile=profile, settings=settings, heads=heads)])


def score_chunks(
    rows: pl.LazyFrame, checkpoint: Checkpoint, *, profile: Profile, settings: Settings, heads: tuple[str, ...] = ()
) -> Iterator[pl.DataFrame]:
    """Return what `score` does, 65,536 rows at a time and the last ones: beside what the reading runs ahead, as many are held."""
    layout = as_trained(Layout.of(profile), checkpoint.manifest)
    network, known = restore(checkpoint, layout, settings.model), known_ids(checkpoint.model)

    def scored(chunk: pl.DataFrame) -> pl.DataFrame:
        with torch_threads(settings.train.threads), layers_in(settings.train.precision):
            logits = _logits(encode(chunk, layout, known), network, layout)
            scores = {**_probabilities(logits, checkpoint, settings), **{head: logits[head] for head in heads}}
        columns = {name: pl.Series(values.numpy()) for name, values in scores.items()}
        return chunk.select(pl.col("impression_id").cast(pl.String)).with_columns(**columns)

    return map(scored, read_chunks(rows.select("impression_id", *layout.columns), _CHUNK_ROWS))


def score_candidates(
    user: pl.DataFrame, candidates: pl.DataFrame, checkpoint: Checkpoint, *, profile: Profile, settings: Settings
) -> pl.DataFrame:
    """Return pctr, pcvr and pctcvr (Float64) of one user's candidates, in their order: the user's half is computed once.

    user: one row with the columns of the user's fields; candidates: a row for each, with the columns of the items' fields. The scores are
    those of `score` on the joined rows, to 1e-6. Raises SettingsError for a bottom that has no halves, CheckpointError as `score` does.
    """
    layout = as_trained(Layout.of(profile), checkpoint.manifest)
    network, known = restore(checkpoint, layout, settings.model), known_ids(checkpoint.model)
    bottom = network.bottom
    if not isinstance(bottom, Dupn):
        raise SettingsError(f"split scoring: expected model.bottom dupn, whose halves are apart, found {settings.model.bottom}; use score")
    if user.height != 1:
        raise ValueError(f"user: expected one row, found {user.height}")
    mine, theirs = layout.of_side("user"), layout.of_side("item")
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
