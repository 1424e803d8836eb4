"""Parquet files, in chunks of typed columns."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest.chunks import Chunk, declared
from components.ingest.files import RawFile, opened
from components.profile import Source


def read_parquet(file: RawFile, source: Source, chunk_rows: int, scratch: Path) -> Iterator[Chunk]:
    """Yield the rows of a Parquet file, in the file's own types; a compressed file is unpacked into `scratch` first.

    Raises RawLogError where the file lacks a declared column.
    """
    with opened(file) as stream:
        path = file.path
        if file.compression:
            path = scratch / file.path.stem
            with path.open("wb") as unpacked:
                shutil.copyfileobj(stream, unpacked, 1 << 20)
        first_row = 1
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            names = _declared(file, source, parquet.schema_arrow)
            for batch in parquet.iter_batches(batch_size=chunk_rows, columns=names):
                values = cast(pl.DataFrame, pl.from_arrow(pa.Table.from_batches([batch]))).select(names)
                yield Chunk(first_row, values, pl.Series("fault", [None] * values.height, dtype=pl.String), None)
                first_row += values.height


def _declared(file: RawFile, source: Source, schema: pa.Schema) -> list[str]:
    names = declared(source)
    for name in names:
        if schema.names.count(name) != 1:
            found = f"{schema.names.count(name)} of that name in {schema.names}"
            raise file.fault(f"one column {name!r}", found, "correct the file, or the profile's columns")
    return names
