"""CSV files: RFC 4180 records with a header, in chunks.

A record that spans lines (a line end inside quotes) is believed only when it has as many fields as the header; so a stray quote costs
its own row, not the rows after it. The last record of a plain file that ends without a line end may be cut, and is none; a compressed
file is known to be whole.
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO

import polars as pl

from components.ingest.chunks import Chunk, declared, numbered, text_chunk
from components.ingest.files import RawFile
from components.ingest.lines import Lines, decode, decoded, read_head, read_lines
from components.profile import Source
from components.tables import Schema

CUT = "no line end: the last value may be cut"
MAX_LINES = 100
"""Lines of one record: a quote that is not closed within them is broken."""
_FIRST = 256
"""Lines that show how a file writes numbers."""


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


def read_csv(file: RawFile, stream: IO[bytes], source: Source, schema: Schema, chunk_rows: int) -> Iterator[Callable[[], Chunk]]:
    """Yield what reads each chunk of a CSV file; blank lines hold no row.

    schema: the declared columns and the types in which they are best read. Raises RawLogError where the header lacks one of them.
    """
    schema = {name: pl.String if dtype == pl.Boolean else dtype for name, dtype in schema.items()}  # 1 is true, and t is not
    types: Schema = {}
    head, rest = read_head(file, stream)
    dialect = _dialect(file, source, decode(head)[0])
    row, carry, cut = 1, list[bytes](), False
    for block in read_lines(file, stream, chunk_rows, rest):
        lines = Lines(block.text.replace(b"\r\n", b"\n")) if b"\r" in block.text else block
        if not block.ended:
            carry, cut = carry + lines.split(), not file.compression
            break
        if not carry and _plain(lines, dialect):
            types = types or _types(lines, schema, dialect)
            yield partial(_plain_chunk, row, lines, types, dialect)
            row += len(lines)
            continue
        found, carry = _records(carry + lines.split(), dialect, more=True)
        yield partial(_chunk, row, found, list(schema), dialect)
        row += len(found.raw)
    found, _ = _records(carry, dialect, more=False)
    if cut and found.raw:
        _mark_cut(found, dialect)
    yield partial(_chunk, row, found, list(schema), dialect)


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
    if lines.text.startswith(b"\n") or lines.count(b"\n\n") or not lines.is_text:
        return False
    return lines.count(separator) == (width - 1) * len(lines)


def _plain_chunk(first_row: int, lines: Lines, types: Schema, dialect: _Dialect) -> Chunk:
    """Split at line ends and delimiters; where some line has too many fields, and so another too few, take them one by one."""
    rows = numbered(first_row, len(lines))
    values = _split(lines, types, dialect)
    if values is not None and not _uncertain(lines, values, dialect):
        exactly = partial(_as_text, rows, lines, types, dialect)
        return Chunk(rows, values, None, partial(_texts, lines), exactly=exactly)
    values = _split(lines, dict.fromkeys(types, pl.String), dialect)
    if values is None:
        return _chunk(first_row, _records(lines.split(), dialect, more=False)[0], list(types), dialect)
    return Chunk(rows, values, None, partial(_texts, lines))


def _uncertain(lines: Lines, values: pl.DataFrame, dialect: _Dialect) -> bool:
    """Tell whether a number that reads as missing may be written: as blanks, or as `-nan`."""
    numbers = values.select(pl.col(pl.Int64, pl.Float64))
    separator = dialect.delimiter.encode()
    if sum(numbers.null_count().row(0)):
        blanks = [blank for blank in (b" ", b"\t") if blank != separator]
        if lines.text[:1] in blanks or any(lines.count(end + blank) for end in (separator, b"\n") for blank in blanks):
            return True
    if numbers.select(pl.any_horizontal(pl.col(pl.Float64).is_nan().any(), False)).item():
        return any(lines.count(signed) for signed in (b"-n", b"-N", b"+n", b"+N"))
    return False


def _split(lines: Lines, types: Schema, dialect: _Dialect) -> pl.DataFrame | None:
    """Return the columns in these types; None where a line has too many fields or a value is not of its type.

    The columns that are not declared are read too: only then does Polars count the fields.
    """
    places = {name: str(dialect.header.index(name)) for name in types}
    schema: Schema = dict.fromkeys(map(str, range(len(dialect.header))), pl.String)
    schema |= {places[name]: dtype for name, dtype in types.items()}
    try:
        values = pl.read_csv(lines.text, has_header=False, separator=dialect.delimiter, quote_char=None, schema=schema)
    except pl.exceptions.PolarsError:
        return None
    return values.select(pl.col(place).alias(name) for name, place in places.items())


def _as_text(rows: pl.Series, lines: Lines, types: Schema, dialect: _Dialect, where: pl.Series) -> Chunk:
    """Return the rows where the Boolean is true, with their values as they are written."""
    found = _records(lines.pick(where), dialect, more=False)[0]
    chunk = _chunk(0, found, list(types), dialect)
    return replace(chunk, rows=rows.filter(where))


def _types(lines: Lines, schema: Schema, dialect: _Dialect) -> Schema:
    """Return the type in which each column is best read: text for numbers that already the first lines write otherwise."""
    texts = _split(lines.head(_FIRST), dict.fromkeys(schema, pl.String), dialect)
    if texts is None:
        return schema
    written = {name: texts[name].cast(dtype, strict=False).null_count() == texts[name].null_count() for name, dtype in schema.items()}
    return {name: dtype if written[name] else pl.String for name, dtype in schema.items()}


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


def _chunk(first_row: int, found: _Records, names: list[str], dialect: _Dialect) -> Chunk:
    """Split the records into the declared columns; a record with another number of fields than the header's becomes a fault."""
    width, quoted = len(dialect.header), list(found.quoted)
    fields = pl.Series(found.raw, dtype=pl.String).str.split(dialect.delimiter)
    counts = fields.list.len().cast(pl.Int64).scatter(quoted, width).alias("count")
    miscounted = pl.format(f"wrong number of fields: expected {width}, found {{}}", "count")
    fault = pl.DataFrame([counts, pl.Series("fault", found.fault, dtype=pl.String)]).select(
        pl.when(pl.col("fault").is_null() & (pl.col("count") != width)).then(miscounted).otherwise("fault").alias("fault")
    )
    columns = {}
    for name in names:
        at = dialect.header.index(name)
        columns[name] = fields.list.get(at, null_on_oob=True).scatter(quoted, [values[at] for values in found.quoted.values()])
    return text_chunk(numbered(first_row, len(found.raw)), found.raw, fault.to_series(), pl.DataFrame(columns))
