"""The raw files of a day: their names, formats and compressions, and their bytes as a stream.

A file that is damaged as a whole raises RawLogError; a damaged row never does.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import polars as pl
import pyarrow as pa
from isal import igzip_lib

from components.errors import RawLogError

Format = Literal["csv", "ndjson", "parquet"]
_FORMATS: dict[str, Format] = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson", ".parquet": "parquet"}
_COMPRESSIONS = (".gz", ".zst")
_NEXT = "have it delivered again"
_PART = 1 << 18
"""Bytes of a gzip file that are read at once."""
_TORN = "Truncated compressed stream"
_FAULTS = {"Error -6 Incorrect checksum found": "incorrect data check"}
"""What the decompressor says -> what gzip says."""


@dataclass(frozen=True)
class RawFile:
    """One raw file; format and compression are told by the name's suffixes."""

    path: Path
    format: Format
    compression: str
    """`.gz`, `.zst` or empty."""

    def fault(self, expected: str, found: object, move: str = _NEXT) -> RawLogError:
        """Return the error that says that this file, as a whole, cannot be read."""
        return RawLogError(f"{self.path}: expected {expected}, found {found}; {move}, then rerun ingest")


def list_files(folder: Path) -> list[RawFile]:
    """Return the raw files of a day by name; names that begin with `.` or `_` (markers such as _SUCCESS) are not logs.

    Raises RawLogError for a folder without files, for a folder inside it and for an unknown suffix.
    """
    files = [_raw_file(path) for path in sorted(folder.iterdir()) if not path.name.startswith((".", "_"))]
    if not files:
        raise RawLogError(
            f"{folder}: expected at least one raw file, found none; wait for the delivery, or put a file with only a header there "
            "if the day had no events, then rerun ingest"
        )
    return files


def _raw_file(path: Path) -> RawFile:
    suffix = path.suffix.lower()
    compression = suffix if suffix in _COMPRESSIONS else ""
    kind = _FORMATS.get(Path(path.stem).suffix.lower() if compression else suffix)
    if kind is None or not path.is_file():
        known = f"{', '.join(_FORMATS)}, each plain or with {' or '.join(_COMPRESSIONS)}"
        found = "another suffix" if path.is_file() else "a folder"
        raise RawLogError(f"{path}: expected a file named {known}, found {found}; rename or remove it, then rerun ingest")
    return RawFile(path, kind, compression)


@contextmanager
def opened(file: RawFile) -> Iterator[IO[bytes]]:
    """Open a file's bytes, decompressed as they are read.

    Inside the block a torn or corrupt stream raises RawLogError; the disk's own errors (no permission, no space) stay what they are.
    """
    if file.compression and file.path.stat().st_size == 0:
        raise file.fault(f"a {file.compression} stream", "0 bytes")
    try:
        with _stream(file) as stream:
            yield stream
    except (pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise file.fault(f"a whole {file.path.name}", error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise file.fault(f"a whole {file.path.name}", error) from error


def _stream(file: RawFile) -> IO[bytes]:
    if not file.compression:
        return file.path.open("rb")
    if file.compression == ".gz":
        return cast(IO[bytes], _Gzip(file.path))
    stream: Any = pa.CompressedInputStream(pa.OSFile(str(file.path)), "zstd")
    return cast(IO[bytes], stream)


class _Gzip(io.RawIOBase):
    """The bytes of a gzip file's members, one after the other; reading raises OSError without a number where the file is damaged."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, as many as one part of the file holds; none at the end."""
        while True:
            part = b""
            wanting = self._member.needs_input or self._member.eof
            if wanting:
                part = self._member.unused_data or self._file.read(_PART)
            if self._member.eof:
                if not part:
                    return b""
                self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            found = self._decompress(part, size)
            if found:
                return found
            if wanting and not part and not self._member.eof:  # without more bytes, none that were held back came
                raise OSError(_TORN)

    def _decompress(self, part: bytes, size: int) -> bytes:
        try:
            return bytes(self._member.decompress(part, size))
        except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stubs declare an exception, not a class
            raise OSError(_FAULTS.get(str(error), str(error))) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
