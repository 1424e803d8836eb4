"""Parquet files, in chunks of typed columns."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest.chunks import Chunk, declared, numbered
from components.ingest.files import RawFile, opened
from components.ingest.lines import decode
from components.ingest.pages import check_pages
from components.profile import Source

_BATCH = 1 << 17
"""Rows of a chunk at most: smaller ones keep the threads that type them busier."""


def read_parquet(file: RawFile, source: Source, chunk_rows: int, scratch: Path) -> Iterator[Callable[[], Chunk]]:
    """Yield what reads each chunk of a Parquet file, in the file's own types; a compressed file is unpacked into `scratch` first.

    Raises RawLogError where the file lacks a declared column, or a page belies its checksum.
    """
    with opened(file) as stream:
        path = file.path
        if file.compression:
            path = scratch / file.path.stem
            with path.open("wb") as unpacked:
                shutil.copyfileobj(stream, unpacked, 1 << 20)
        with pq.ParquetFile(path) as parquet:
            names = _declared(file, source, parquet.schema_arrow)
            check_pages(file, path, parquet.metadata, names)
        first_row = 1
        most = min(chunk_rows, _BATCH)
        for batch in pl.scan_parquet(path, glob=False).select(names).collect_batches(chunk_size=most, maintain_order=True):
            for values in batch.iter_slices(most):
                yield partial(_chunk, first_row, values)
                first_row += values.height
        if file.compression:
            path.unlink()


def _declared(file: RawFile, source: Source, schema: pa.Schema) -> list[str]:
    names = declared(source)
    for name in names:
        if schema.names.count(name) != 1:
            found = f"{schema.names.count(name)} of that name in {schema.names}"
            raise file.fault(f"one column {name!r}", found, "correct the file, or the profile's columns")
    return names


def _chunk(first_row: int, values: pl.DataFrame) -> Chunk:
    faults: pl.Series | None = None
    for name in values.select(pl.col(pl.Binary)).columns:
        values, faults = _decode(values, faults, name)
    return Chunk(numbered(first_row, values.height), values, faults, lambda where: _shown(values.filter(where)))


def _shown(rows: pl.DataFrame) -> pl.Series:
    """Return rows as JSON."""
    return rows.select(raw=pl.struct(pl.all()).struct.json_encode()).to_series()


def _decode(values: pl.DataFrame, faults: pl.Series | None, name: str) -> tuple[pl.DataFrame, pl.Series | None]:
    """Return the binary column as the text that it is (older writers do not mark text as such), and a fault where it is none."""
    try:
        return values.with_columns(pl.col(name).cast(pl.String)), faults
    except pl.exceptions.ComputeError:  # some value is no text: bytes then stand as escapes
        texts, found = zip(*(decode(value or b"") for value in values[name]), strict=True)
        why = pl.Series("fault", found, dtype=pl.String)
        known = why.clear(len(why)) if faults is None else faults
        return values.with_columns(pl.Series(name, texts)), known.zip_with(why.is_null(), why)
