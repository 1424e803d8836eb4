"""How large the training benchmark is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The real sizes; `chunk_rows` of the pipeline's default, a quarter of it for rows with lists."""

    ids: int = 4_200_000
    rows: int = 8 * 262_144
    list_rows: int = 8 * 65_536
    chunk_rows: int = 262_144
    list_chunk_rows: int = 65_536
    batches: tuple[int, ...] = (4_096, 16_384)
    threads: tuple[int, ...] = (1, 2)
    """Of torch, ascending; the peers and the towers have the last."""
    precisions: tuple[str, ...] = ("bfloat16", "float32")
    """Of ours."""
    rounds: int = 3
    peer_steps: int = 5
    tower_seconds: float = 5.0
    compiled: bool = True
    """Whether the towers alone are compiled too."""
    growth: tuple[int, ...] = (20_000_000,)
    growth_rows: int = 3 * 262_144
    widths: tuple[int, ...] = (8, 32, 64)
    """Of the embeddings, beside the usual."""
    auc_rows: int = 10_000_000
    parity_rows: int = 262_144
    """0: no comparison of AUCs."""
    parity_batch: int = 1_024
    test_rows: int = 300_000


QUICK = Sizes(
    ids=20_000,
    rows=4_096,
    list_rows=2_048,
    chunk_rows=1_024,
    list_chunk_rows=1_024,
    batches=(256,),
    threads=(1,),
    precisions=("bfloat16",),
    rounds=1,
    peer_steps=2,
    tower_seconds=0.05,
    compiled=False,
    growth=(40_000,),
    growth_rows=2_048,
    widths=(8,),
    auc_rows=10_000,
    parity_rows=20_000,
    parity_batch=256,
    test_rows=10_000,
)
