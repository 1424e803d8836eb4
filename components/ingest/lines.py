"""The lines of a text stream, in chunks."""

import codecs
from collections.abc import Iterator
from typing import IO

from components.ingest.files import RawFile

_BLOCK = 1 << 20
MAX_LINE = 16 << 20
"""Bytes; a longer line is taken for a file of another format, so that memory stays bounded."""


def read_lines(file: RawFile, stream: IO[bytes], chunk_rows: int) -> Iterator[list[bytes]]:
    r"""Yield lists of at most `chunk_rows` lines, without line ends (\n or \r\n) or the byte order mark; blank lines stay.

    Raises RawLogError for a line longer than MAX_LINE.
    """
    held: list[bytes] = []
    rest = b""
    block = stream.read(_BLOCK).removeprefix(codecs.BOM_UTF8)
    while block:
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > MAX_LINE:
            raise file.fault(f"lines of at most {MAX_LINE} bytes", "a longer one", "give the file the suffix of its format")
        held += [line.removesuffix(b"\r") for line in lines]
        while len(held) >= chunk_rows:
            yield held[:chunk_rows]
            del held[:chunk_rows]
        block = stream.read(_BLOCK)
    if rest:
        held.append(rest.removesuffix(b"\r"))
    if held:
        yield held


def decoded(lines: list[bytes]) -> tuple[list[str], list[str | None]]:
    """Return lines as text, and for each line that is not UTF-8 the reason (its bytes then stand as escapes)."""
    try:
        texts = b"\n".join(lines).decode("utf-8").split("\n") if lines else []
    except UnicodeDecodeError:
        pairs = [decode(line) for line in lines]
        return [text for text, _ in pairs], [fault for _, fault in pairs]
    return texts, [None] * len(lines)


def decode(line: bytes) -> tuple[str, str | None]:
    """Return bytes as text and, where they are not UTF-8, the reason (the text then has escapes)."""
    try:
        return line.decode("utf-8"), None
    except UnicodeDecodeError as error:
        return line.decode("utf-8", errors="backslashreplace"), f"not UTF-8: byte {error.start + 1}"
