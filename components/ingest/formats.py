"""A raw file of any format -> its chunks."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from components.ingest.chunks import Chunk, declared
from components.ingest.delimited import read_csv
from components.ingest.files import RawFile, opened
from components.ingest.ndjson import read_ndjson
from components.ingest.parquet import read_parquet
from components.profile import Clock, Source
from components.tables import CONTEXT_TYPES, Schema

_NUMBERS: Schema = {"position": pl.Int64, "amount": pl.Float64}


def read_file(file: RawFile, source: Source, clock: Clock, *, scratch: Path, chunk_rows: int) -> Iterator[Callable[[], Chunk]]:
    """Yield what reads each chunk of `chunk_rows` rows, of the columns that `source` names; scratch: where Parquet is unpacked."""
    if file.format == "parquet":
        yield from read_parquet(file, source, chunk_rows, scratch)
        return
    with opened(file) as stream:
        read_text = read_csv if file.format == "csv" else read_ndjson
        yield from read_text(file, stream, source, _schema(source, clock), chunk_rows)


def _schema(source: Source, clock: Clock) -> Schema:
    """Return the type in which each declared column of a text file is best read."""
    known: Schema = {name: CONTEXT_TYPES[kind] for name, kind in source.context.items()}
    for name, raw in source.columns.items():
        time = name.endswith("_at") and clock.unit != "iso"
        known[raw] = pl.Int64 if time else _NUMBERS.get(name, pl.String)
    return {name: known[name] for name in declared(source)}
