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
"""Bytes of a block, about, longer lines apart."""
_PART = 1 << 20
"""Bytes that are read at once: little enough that their memory is used again."""
_HEAD = 1 << 14
_CACHED = 1 << 17
"""Bytes compared at once: what comes of it fits the processor's cache."""
_LF = 10


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

    @cached_property
    def _height(self) -> int:
        return self.count(b"\n")

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where the lines start."""
        return np.concatenate([np.zeros(1, np.int64), self.ends[:-1] + 1])

    def __len__(self) -> int:
        """Count the lines."""
        return self._height

    @property
    def is_text(self) -> bool:
        """Whether all is UTF-8."""
        try:
            return self.text.isascii() or bool(self.text.decode("utf-8"))
        except UnicodeDecodeError:
            return False

    def count(self, letters: bytes) -> int:
        """Count the places where `letters`, a few bytes, stand."""
        found, last = 0, len(letters) - 1
        for at in range(0, len(self.text) - last, _CACHED):
            part = self.bytes_[at : at + _CACHED + last]
            here = part[: len(part) - last] == letters[0]
            for place in range(1, len(letters)):
                here &= part[place : len(part) - last + place] == letters[place]
            found += int(np.count_nonzero(here))
        return found

    def part(self, first: int, last: int) -> "Lines":
        """Return the lines from `first` up to, not including, `last`."""
        return Lines(self.text[0 if first == 0 else self.ends[first - 1] + 1 : self.ends[last - 1] + 1])

    def head(self, most: int) -> "Lines":
        """Return the first lines, at most so many."""
        end = -1
        for _ in range(min(most, len(self))):
            end = self.text.index(b"\n", end + 1)
        return Lines(self.text[: end + 1])

    def split(self) -> list[bytes]:
        r"""Return the lines without their ends (\n or \r\n)."""
        lines = self.text[:-1].split(b"\n")
        return [line.removesuffix(b"\r") for line in lines] if b"\r" in self.text else lines

    def pick(self, where: pl.Series) -> list[bytes]:
        """Return the lines for which the Boolean `where` is true, without their ends."""
        starts = self.starts
        return [self.text[starts[at] : self.ends[at]].removesuffix(b"\r") for at in where.arg_true()]


def read_head(file: RawFile, stream: IO[bytes]) -> tuple[bytes, bytes]:
    """Return the first line, without its end and the byte order mark, and what was read of the lines after it; raises as `read_lines`."""
    read = _start(stream)
    while b"\n" not in read and (part := stream.read(_HEAD)):
        read += part
        _check_length(file, read.partition(b"\n")[0])
    head, _, rest = read.partition(b"\n")
    return head.removesuffix(b"\r"), rest


def read_lines(file: RawFile, stream: IO[bytes], chunk_rows: int, rest: bytes | None = None) -> Iterator[Lines]:
    """Yield blocks of at most `chunk_rows` lines, without the byte order mark; blank lines stay.

    rest: what was read before, if anything was. Raises RawLogError for a line longer than MAX_LINE.
    """
    rest, parts = _start(stream) if rest is None else rest, [b""]
    while parts:
        parts = _parts(stream)
        text, rest = _whole([rest, *parts])
        if text:
            yield from _cut(Lines(text), chunk_rows)
        _check_length(file, rest)
    if rest:
        yield Lines(rest + b"\n", ended=False)


def _check_length(file: RawFile, line: bytes) -> None:
    if len(line) > MAX_LINE:
        raise file.fault(f"lines of at most {MAX_LINE} bytes", "a longer one", "shorten it, or give the file the suffix of its format")


def _start(stream: IO[bytes]) -> bytes:
    """Return the first bytes, as many as a byte order mark has, without it."""
    start, mark = b"", codecs.BOM_UTF8
    while len(start) < len(mark) and (more := stream.read(len(mark) - len(start))):
        start += more
    return start.removeprefix(mark)


def _parts(stream: IO[bytes]) -> list[bytes]:
    """Return the next bytes as they come, about as many as a block has; nothing at the end."""
    parts, size = list[bytes](), 0
    while size < _BLOCK and (part := stream.read(_PART)):
        parts.append(part)
        size += len(part)
    return parts


def _whole(parts: list[bytes]) -> tuple[bytes, bytes]:
    """Return the bytes up to the last line end, and those after it; they are copied once where the last part has a line end."""
    *before, last = parts
    if end := last.rfind(b"\n") + 1:
        return b"".join([*before, memoryview(last)[:end]]), last[end:]
    text = b"".join(parts)
    end = text.rfind(b"\n") + 1
    return text[:end], text[end:]


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
