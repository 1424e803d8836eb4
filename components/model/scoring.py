"""Probabilities of a checkpoint on assembled samples."""

import polars as pl
import torch
from torch import Tensor

from components.checkpoints import Checkpoint
from components.model.embedding import embed
from components.model.encoding import Encoded, Layout, encode
from components.model.losses import LOSSES
from components.model.network import Network
from components.model.restore import restore
from components.model.stream import read_chunks
from components.model.threads import torch_threads
from components.profile import Profile
from components.settings import Settings

_BLOCK_ROWS = 4096
"""Scored at once. Fixed, so that the same rows give the same bytes whatever the training batch is."""


def score(rows: pl.LazyFrame, checkpoint: Checkpoint, *, profile: Profile, settings: Settings, heads: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return impression_id, pctr, pcvr, pctcvr and what the regression `heads` predict (Float64), one row per row of `rows`, in order.

    rows: assembled samples; positions count as missing. The network runs in float32, on train.threads; probabilities are formed from
    its logits in float64, so pctcvr is pctr * pcvr. Raises CheckpointError where the checkpoint was trained for other fields than the
    profile's, or another network than the settings'.
    """
    layout = Layout.of(profile)
    network = restore(checkpoint, layout, settings.model)
    loss = LOSSES[settings.model.loss]
    chunks = read_chunks(rows.select("impression_id", *layout.columns), settings.train.chunk_rows)
    scored = [pl.DataFrame(schema={"impression_id": pl.String, **dict.fromkeys(("pctr", "pcvr", "pctcvr", *heads), pl.Float64)})]
    with torch_threads(settings.train.threads):
        for chunk in chunks:
            logits = _logits(encode(chunk, layout), network, layout)
            scores = {**loss.probabilities(logits), **{head: logits[head] for head in heads}}
            columns = {name: pl.Series(values.numpy()) for name, values in scores.items()}
            scored.append(chunk.select(pl.col("impression_id").cast(pl.String)).with_columns(**columns))
    return pl.concat(scored)


@torch.inference_mode()
def _logits(samples: Encoded, network: Network, layout: Layout) -> dict[str, Tensor]:
    """Return each task's logit_N, by task, in float64."""
    firsts = range(0, len(samples), _BLOCK_ROWS)
    blocks = [network(embed(network.table, samples.slice(first, first + _BLOCK_ROWS), layout)) for first in firsts]
    return {task: torch.cat([block[task] for block in blocks]).double() for task in network.tasks}
