"""The lines of a text stream, in blocks of bytes."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.ingest.files import RawFile

MAX_LINE = 16 << 20
"""Bytes; a longer line is taken for a file of another format, so that memory stays bounded."""
_BLOCK = 8 << 20
"""Bytes of a block at most, longer lines apart."""
_LF, _CR = 10, 13


@dataclass(frozen=True)
class Lines:
    r"""Whole lines, each ended by \n (before it, \r may stand). The last byte is a line end."""

    text: bytes
    ended: bool = True
    """False where the file ends without a line end: the last one in `text` is ours."""

    @cached_property
    def bytes_(self) -> NDArray[np.uint8]:
        """The bytes as an array."""
        return np.frombuffer(self.text, np.uint8)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Where the lines end."""
        return np.flatnonzero(self.bytes_ == _LF)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where the lines start."""
        return np.concatenate([np.zeros(1, np.int64), self.ends[:-1] + 1])

    def __len__(self) -> int:
        """Count the lines."""
        return len(self.ends)

    def count(self, pair: bytes) -> int:
        """Count the places where the two bytes of `pair` stand."""
        number = int.from_bytes(pair, "little")
        whole = len(self.text) // 2
        even = np.frombuffer(self.text, "<u2", whole)
        odd = np.frombuffer(self.text, "<u2", (len(self.text) - 1) // 2, 1)
        return int(np.count_nonzero(even == number) + np.count_nonzero(odd == number))

    def part(self, first: int, last: int) -> "Lines":
        """Return the lines from `first` up to, not including, `last`."""
        return Lines(self.text[0 if first == 0 else self.ends[first - 1] + 1 : self.ends[last - 1] + 1])

    def split(self) -> list[bytes]:
        r"""Return the lines without their ends (\n or \r\n)."""
        lines = self.text[:-1].split(b"\n")
        return [line.removesuffix(b"\r") for line in lines] if b"\r" in self.text else lines

    def pick(self, where: pl.Series) -> list[bytes]:
        """Return the lines for which the Boolean `where` is true, without their ends."""
        starts = self.starts
        return [self.text[starts[at] : self.ends[at]].removesuffix(b"\r") for at in where.arg_true()]


def read_lines(file: RawFile, stream: IO[bytes], chunk_rows: int) -> Iterator[Lines]:
    """Yield blocks of at most `chunk_rows` lines, without the byte order mark; blank lines stay.

    Raises RawLogError for a line longer than MAX_LINE.
    """
    rest = b""
    block = stream.read(_BLOCK).removeprefix(codecs.BOM_UTF8)
    while block:
        end = block.rfind(b"\n") + 1
        if end:
            yield from _cut(Lines(b"".join([rest, memoryview(block)[:end]])), chunk_rows)
        rest = block[end:] if end else rest + block
        if len(rest) > MAX_LINE:
            raise file.fault(f"lines of at most {MAX_LINE} bytes", "a longer one", "shorten it, or give the file the suffix of its format")
        block = stream.read(_BLOCK)
    if rest:
        yield Lines(rest + b"\n", ended=False)


def _cut(lines: Lines, chunk_rows: int) -> Iterator[Lines]:
    if len(lines) <= chunk_rows:
        yield lines
        return
    for first in range(0, len(lines), chunk_rows):
        yield lines.part(first, min(first + chunk_rows, len(lines)))


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
