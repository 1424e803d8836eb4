"""Samples in their order, a bounded number of rows at a time."""

from collections.abc import Iterator

import polars as pl


def read_chunks(rows: pl.LazyFrame, chunk_rows: int) -> Iterator[pl.DataFrame]:
    """Yield the rows in order, `chunk_rows` at a time, the last chunk the rest; none for no rows.

    Polars' streaming engine runs the query no more than a few chunks ahead; a source is asked for them as they are taken.
    The sizes are exact whatever the sources' own blocks are; training's bytes rest on it, and a test holds it.
    """
    yield from rows.collect_batches(chunk_size=chunk_rows, maintain_order=True, engine="streaming")
