"""The raw files of a day: their names, formats and compressions, and their bytes as a stream.

A file that is damaged as a whole raises RawLogError; a damaged row never does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import polars as pl
import pyarrow as pa

from components.errors import RawLogError

Format = Literal["csv", "ndjson", "parquet"]
_FORMATS: dict[str, Format] = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson", ".parquet": "parquet"}
_COMPRESSIONS = (".gz", ".zst")
_NEXT = "have it delivered again"


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
    codec = {".gz": "gzip", ".zst": "zstd"}[file.compression]
    stream: Any = pa.CompressedInputStream(pa.OSFile(str(file.path)), codec)
    return cast(IO[bytes], stream)
