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
from components.ingest.lines import decode
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
                faults = pl.Series("fault", [None], dtype=pl.String).new_from_index(0, values.height)
                for name in values.select(pl.col(pl.Binary)).columns:
                    values, faults = _decode(values, faults, name)
                yield Chunk(first_row, values, faults, None)
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


def _decode(values: pl.DataFrame, faults: pl.Series, name: str) -> tuple[pl.DataFrame, pl.Series]:
    """Return the binary column as the text that it is (older writers do not mark text as such), and a fault where it is none."""
    try:
        return values.with_columns(pl.col(name).cast(pl.String)), faults
    except pl.exceptions.ComputeError:  # some value is no text: bytes then stand as escapes
        texts, found = zip(*(decode(value or b"") for value in values[name]), strict=True)
        why = pl.Series("fault", found, dtype=pl.String)
        return values.with_columns(pl.Series(name, texts)), faults.zip_with(why.is_null(), why)
