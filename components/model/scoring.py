"""Probabilities of a checkpoint on assembled samples."""

import polars as pl
import torch
from torch import Tensor

from components.checkpoints import Checkpoint
from components.model.embedding import embed
from components.model.encoding import Encoded, Layout, encode
from components.model.esmm import Esmm
from components.model.losses import log_pctcvr
from components.model.restore import restore
from components.model.stream import read_chunks
from components.model.threads import torch_threads
from components.profile import Profile
from components.settings import Settings

_BLOCK_ROWS = 4096
"""Scored at once. Fixed, so that the same rows give the same bytes whatever the training batch is."""


def score(rows: pl.LazyFrame, checkpoint: Checkpoint, *, profile: Profile, settings: Settings) -> pl.DataFrame:
    """Return impression_id, pctr, pcvr and pctcvr (Float64), one row per row of `rows`, in their order.

    rows: assembled samples. The network runs in float32, on train.threads; probabilities are formed from its logits in float64, so
    pctcvr is pctr * pcvr. Raises CheckpointError where the checkpoint was trained for other fields than the profile's.
    """
    layout = Layout.of(profile)
    network = restore(checkpoint, layout, settings.model)
    chunks = read_chunks(rows.select("impression_id", *layout.columns), settings.train.chunk_rows)
    with torch_threads(settings.train.threads):
        scored = [_score_chunk(chunk, network, layout) for chunk in chunks]
    schema = {"impression_id": pl.String, "pctr": pl.Float64, "pcvr": pl.Float64, "pctcvr": pl.Float64}
    return pl.concat([pl.DataFrame(schema=schema), *scored])


def probabilities(logits: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Return pctr, pcvr and pctcvr in float64."""
    a_B, b_B = (logit.double() for logit in logits)
    return {"pctr": a_B.sigmoid(), "pcvr": b_B.sigmoid(), "pctcvr": log_pctcvr(a_B, b_B).exp()}


@torch.inference_mode()
def _score_chunk(chunk: pl.DataFrame, network: Esmm, layout: Layout) -> pl.DataFrame:
    samples = encode(chunk, layout)
    blocks = [_logits(samples.slice(first, first + _BLOCK_ROWS), network, layout) for first in range(0, len(samples), _BLOCK_ROWS)]
    a, b = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    scores = {name: values.numpy() for name, values in probabilities((a, b)).items()}
    return chunk.select(pl.col("impression_id").cast(pl.String)).with_columns(**{n: pl.Series(v) for n, v in scores.items()})


def _logits(samples: Encoded, network: Esmm, layout: Layout) -> tuple[Tensor, Tensor]:
    logits: tuple[Tensor, Tensor] = network(embed(network.table, samples, layout))
    return logits
