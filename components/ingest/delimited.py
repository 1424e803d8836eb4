"""CSV files: RFC 4180 records with a header, in chunks.

A record that spans lines (a line end inside quotes) is believed only when it has as many fields as the header; so a stray quote costs
its own row, not the rows after it. The last record of a plain file that ends without a line end may be cut, and is none; a compressed
file is known to be whole.
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import IO

import numpy as np
import polars as pl

from components.ingest.chunks import Chunk, declared, numbered, text_chunk
from components.ingest.files import RawFile
from components.ingest.lines import Lines, decoded, read_lines
from components.profile import Source

CUT = "no line end: the last value may be cut"
MAX_LINES = 100
"""Lines of one record: a quote that is not closed within them is broken."""


@dataclass(frozen=True)
class _Dialect:
    """A file's delimiter and header, and the patterns that tell whether a line ends inside quotes."""

    delimiter: str
    header: list[str]
    whole: re.Pattern[str]
    """A line that starts and ends outside quotes."""
    end: re.Pattern[str]
    """A line that starts inside quotes and ends outside."""


@dataclass
class _Records:
    """Records of one chunk as they are found."""

    raw: list[str] = field(default_factory=list)
    fault: list[str | None] = field(default_factory=list)
    quoted: dict[int, list[str]] = field(default_factory=dict)
    """Index -> fields, for the records that hold a quote; the others can be split at the delimiter."""

    def add(self, raw: str, fault: str | None) -> None:
        self.raw.append(raw)
        self.fault.append(fault)


def read_csv(file: RawFile, stream: IO[bytes], source: Source, chunk_rows: int) -> Iterator[Callable[[], Chunk]]:
    """Yield what reads each chunk of a CSV file; blank lines hold no row. Raises RawLogError where the header lacks a declared column."""
    blocks = read_lines(file, stream, chunk_rows)
    first = next(blocks, Lines(b"\n"))
    dialect = _dialect(file, source, decoded(first.part(0, 1).split())[0][0])
    row, carry, cut = 1, list[bytes](), False
    for block in chain([first.part(1, len(first))] if len(first) > 1 else [], blocks):
        lines = Lines(block.text.replace(b"\r\n", b"\n")) if b"\r" in block.text else block
        if not block.ended:
            carry, cut = carry + lines.split(), not file.compression
            break
        if not carry and _plain(lines, dialect):
            yield partial(_plain_chunk, row, lines, source, dialect)
            row += len(lines)
            continue
        found, carry = _records(carry + lines.split(), dialect, more=True)
        yield partial(_chunk, row, found, source, dialect)
        row += len(found.raw)
    found, _ = _records(carry, dialect, more=False)
    if cut and found.raw:
        _mark_cut(found, dialect)
    yield partial(_chunk, row, found, source, dialect)


def _mark_cut(found: _Records, dialect: _Dialect) -> None:
    """Set the last record aside where its last value may go on: there are as many fields as in the header, and no quote closes it."""
    last, record = len(found.raw) - 1, found.raw[-1]
    if (last in found.quoted or record.count(dialect.delimiter) + 1 == len(dialect.header)) and not record.endswith('"'):
        found.fault[last] = found.fault[last] or CUT


def _plain(lines: Lines, dialect: _Dialect) -> bool:
    """Tell whether splitting at line ends and delimiters may be all there is to do: no blank lines, as many fields as the header's each."""
    separator, width = dialect.delimiter.encode(), len(dialect.header)
    if width == 1 or len(separator) > 1 or any(letter in lines.text for letter in (b'"', b"\r", b"\0")):
        return False
    if (lines.ends == lines.starts).any() or not (lines.text.isascii() or decoded([lines.text])[1] == [None]):
        return False
    return int(np.count_nonzero(lines.bytes_ == separator[0])) == (width - 1) * len(lines)


def _plain_chunk(first_row: int, lines: Lines, source: Source, dialect: _Dialect) -> Chunk:
    """Split at line ends and delimiters; where some line has too many fields, and so another too few, take them one by one."""
    try:
        schema = {str(number): pl.String for number in range(len(dialect.header))}
        values = pl.read_csv(lines.text, has_header=False, separator=dialect.delimiter, quote_char=None, schema=schema)
    except pl.exceptions.PolarsError:
        return _chunk(first_row, _records(lines.split(), dialect, more=False)[0], source, dialect)
    columns = [pl.col(str(dialect.header.index(name))).alias(name) for name in declared(source)]
    return Chunk(numbered(first_row, len(lines)), values.select(columns), None, lambda where: _texts(lines, where))


def _texts(lines: Lines, where: pl.Series) -> pl.Series:
    return pl.Series("raw", decoded(lines.pick(where))[0], dtype=pl.String)


def _dialect(file: RawFile, source: Source, line: str) -> _Dialect:
    header = next(csv.reader([line], delimiter=source.delimiter), [])
    for column in declared(source):
        if header.count(column) != 1:
            found = f"{header.count(column)} of that name in {header}"
            raise file.fault(f"a header with one column {column!r}", found, "correct the file, or the profile's columns and delimiter")
    quoted, other = r'"(?:[^"]++|"")*+"', f"[^{re.escape(source.delimiter)}]*+"
    more = f'(?:{re.escape(source.delimiter)}(?:{quoted}{other}|(?!"){other}))*+'
    whole = re.compile(f'(?:{quoted}{other}|(?!"){other}){more}')
    return _Dialect(source.delimiter, header, whole, re.compile(rf'(?:[^"]++|"")*+"{other}{more}'))


def _records(lines: list[bytes], dialect: _Dialect, *, more: bool) -> tuple[_Records, list[bytes]]:
    """Return the records of `lines` and, when `more` lines follow, the last ones that they may complete."""
    texts, faults = decoded(lines)
    found, at = _Records(), 0
    while at < len(texts):
        text, fault = texts[at], faults[at]
        end = at + 1
        if '"' in text and not fault:
            last = min(at + MAX_LINES, len(texts))
            end = at + 1 if dialect.whole.fullmatch(text) else _closing(texts[:last], at, dialect)
            if more and not end and last < at + MAX_LINES:
                return found, lines[at:]
            end = _add_quoted(found, texts[at : end or at + 1], dialect, closed=bool(end)) + at
        elif text:
            found.add(text, fault)
        at = end
    return found, []


def _closing(texts: list[str], at: int, dialect: _Dialect) -> int:
    """Return the index after the record that starts at `at` and is open there; 0 where none of the lines closes it."""
    return next((index + 1 for index in range(at + 1, len(texts)) if dialect.end.fullmatch(texts[index])), 0)


def _add_quoted(found: _Records, lines: list[str], dialect: _Dialect, *, closed: bool) -> int:
    """Add the record that `lines` make and return their number; where they make none, add the first line alone as broken."""
    record, width = "\n".join(lines), len(dialect.header)
    fields, fault = _parse(record, dialect) if closed else ([], "")
    if not fault and len(fields) == width:
        found.quoted[len(found.raw)] = fields
        found.add(record, None)
        return len(lines)
    if not closed or len(lines) > 1:
        fault = "broken CSV: a quote is not closed"
    found.add(lines[0], fault or _miscounted(width, len(fields)))
    return 1


def _parse(record: str, dialect: _Dialect) -> tuple[list[str], str]:
    try:
        return next(csv.reader([record], delimiter=dialect.delimiter, strict=True)), ""
    except csv.Error as error:
        return [], f"broken CSV: {error}"


def _miscounted(expected: int, found: int) -> str:
    return f"wrong number of fields: expected {expected}, found {found}"


def _chunk(first_row: int, found: _Records, source: Source, dialect: _Dialect) -> Chunk:
    """Split the records into the declared columns; a record with another number of fields than the header's becomes a fault."""
    width, quoted = len(dialect.header), list(found.quoted)
    fields = pl.Series(found.raw, dtype=pl.String).str.split(dialect.delimiter)
    counts = fields.list.len().cast(pl.Int64).scatter(quoted, width).alias("count")
    miscounted = pl.format(f"wrong number of fields: expected {width}, found {{}}", "count")
    fault = pl.DataFrame([counts, pl.Series("fault", found.fault, dtype=pl.String)]).select(
        pl.when(pl.col("fault").is_null() & (pl.col("count") != width)).then(miscounted).otherwise("fault").alias("fault")
    )
    columns = {}
    for name in declared(source):
        at = dialect.header.index(name)
        columns[name] = fields.list.get(at, null_on_oob=True).scatter(quoted, [values[at] for values in found.quoted.values()])
    return text_chunk(numbered(first_row, len(found.raw)), found.raw, fault.to_series(), pl.DataFrame(columns))
