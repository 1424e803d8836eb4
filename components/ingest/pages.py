"""The headers and checksums of a Parquet file's pages: https://parquet.apache.org/docs/file-format/data-pages/.

Polars looks at no checksum, and a header that is not believable may end the process.
"""

import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

from components.ingest.files import RawFile
from components.thrift import read_prefix

_MOST = 1 << 16
"""Bytes of a page's header at most: it may hold statistics."""
_SIZE, _COMPRESSED_SIZE, _CRC, _DATA, _DATA_V2, _NUM_VALUES = 2, 3, 4, 5, 8, 1
"""Fields of a page's header; _NUM_VALUES is one of the structs _DATA and _DATA_V2."""


def check_pages(file: RawFile, path: Path, metadata: Any, names: list[str]) -> None:
    """Raise RawLogError where a page of the columns `names` belies its checksum, or its header the rest of the file.

    path: the file, unpacked.  metadata: pyarrow's.
    """
    with path.open("rb") as stream:
        for group in range(metadata.num_row_groups):
            for number in range(metadata.num_columns):
                column = metadata.row_group(group).column(number)
                if column.path_in_schema in names:
                    _check_column(file, stream, column)


def _check_column(file: RawFile, stream: BufferedReader, column: Any) -> None:
    starts = (column.dictionary_page_offset, column.data_page_offset)
    at: int = min(start for start in starts if start)
    end = at + column.total_compressed_size
    values = 0
    while at < end:
        stream.seek(at)
        try:
            header, length = read_prefix(stream.read(_MOST))
            size = header[_COMPRESSED_SIZE][1]
            values += next((header[kind][1][_NUM_VALUES][1] for kind in (_DATA, _DATA_V2) if kind in header), 0)
            sound = size >= 0 and at + length + size <= end and 0 <= header[_SIZE][1] <= column.total_uncompressed_size
        except (IndexError, KeyError, RecursionError, TypeError, ValueError):
            sound = False
        if sound and _CRC in header:
            stream.seek(at + length)
            sound = zlib.crc32(stream.read(size)) == header[_CRC][1] & 0xFFFFFFFF
        if not sound:
            raise file.fault(f"a whole {file.path.name}", f"a damaged page of column {column.path_in_schema} at byte {at}")
        at += length + size
    if values != column.num_values:
        raise file.fault(f"a whole {file.path.name}", f"{values} of {column.num_values} values of column {column.path_in_schema}")
