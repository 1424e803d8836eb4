"""The headers and checksums of a Parquet file's pages: https://parquet.apache.org/docs/file-format/data-pages/.

Polars looks at no checksum, and a header that is not believable may end the process.
"""

import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

from components.ingest.files import RawFile

_MOST = 1 << 16
"""Bytes of a page's header at most: it may hold statistics."""
_SIZE, _COMPRESSED_SIZE, _CRC, _DATA, _DATA_V2 = 2, 3, 4, 5, 8
"""Fields of a page's header; the last two are structs of which the first field is the number of values."""
_BINARY, _STRUCT = 8, 12
_WIDTHS = {1: 0, 2: 0, 3: 1, 7: 8}
"""Thrift's compact types of a fixed number of bytes: Booleans (in the type itself), a byte, a double."""
_NUMBERS = (4, 5, 6)
Fields = dict[int, Any]
"""Field -> whole number or Fields; other types are left out."""


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
            header, length = _read_struct(stream.read(_MOST), 0)
            size = header[_COMPRESSED_SIZE]
            values += next((header[kind][1] for kind in (_DATA, _DATA_V2) if kind in header), 0)
            sound = size >= 0 and at + length + size <= end and 0 <= header[_SIZE] <= column.total_uncompressed_size
        except (IndexError, KeyError):
            sound = False
        if sound and _CRC in header:
            stream.seek(at + length)
            sound = zlib.crc32(stream.read(size)) == header[_CRC] & 0xFFFFFFFF
        if not sound:
            raise file.fault(f"a whole {file.path.name}", f"a damaged page of column {column.path_in_schema} at byte {at}")
        at += length + size
    if values != column.num_values:
        raise file.fault(f"a whole {file.path.name}", f"{values} of {column.num_values} values of column {column.path_in_schema}")


def _read_struct(header: bytes, at: int) -> tuple[Fields, int]:
    """Return a Thrift struct (compact protocol) and where it ends. Raises IndexError where there is none."""
    fields: Fields = {}
    field = 0
    while header[at]:
        kind, delta = header[at] & 15, header[at] >> 4
        at += 1
        if delta:
            field += delta
        else:
            field, at = _read_number(header, at)
        if kind in _NUMBERS:
            fields[field], at = _read_number(header, at)
        elif kind == _STRUCT:
            fields[field], at = _read_struct(header, at)
        else:
            at = _skip(header, at, kind)
    return fields, at + 1


def _skip(header: bytes, at: int, kind: int) -> int:
    if kind == _BINARY:
        length, at = _read_varint(header, at)
        return at + length
    if kind not in _WIDTHS:
        raise IndexError("page headers have neither lists nor maps")
    return at + _WIDTHS[kind]


def _read_number(header: bytes, at: int) -> tuple[int, int]:
    zigzag, end = _read_varint(header, at)
    return (zigzag >> 1) ^ -(zigzag & 1), end


def _read_varint(header: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = header[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
