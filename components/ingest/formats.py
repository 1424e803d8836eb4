"""A raw file of any format -> its chunks."""

from collections.abc import Callable, Iterator
from pathlib import Path

from components.ingest.chunks import Chunk
from components.ingest.delimited import read_csv
from components.ingest.files import RawFile, opened
from components.ingest.ndjson import read_ndjson
from components.ingest.parquet import read_parquet
from components.profile import Clock, Source


def read_file(file: RawFile, source: Source, clock: Clock, *, scratch: Path, chunk_rows: int) -> Iterator[Callable[[], Chunk]]:
    """Yield what reads each chunk of `chunk_rows` rows, of the columns that `source` names; scratch: where Parquet is unpacked."""
    if file.format == "parquet":
        yield from read_parquet(file, source, chunk_rows, scratch)
        return
    with opened(file) as stream:
        if file.format == "csv":
            yield from read_csv(file, stream, source, chunk_rows)
        else:
            yield from read_ndjson(file, stream, source, clock, chunk_rows)
