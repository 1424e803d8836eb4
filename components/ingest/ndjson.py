"""NDJSON files: one JSON object per line, in chunks."""

import json
from collections.abc import Iterator
from typing import IO, Any

import polars as pl

from components.ingest.chunks import Chunk, declared, text_chunk
from components.ingest.files import RawFile
from components.ingest.lines import decoded, read_lines
from components.profile import Source

_EXACT = 1 << 53
_loads = json.loads


def read_ndjson(file: RawFile, stream: IO[bytes], source: Source, chunk_rows: int) -> Iterator[Chunk]:
    """Yield the rows of an NDJSON file, values as text; blank lines hold no row, a key absent from a row is its missing value."""
    first_row = 1
    for lines in read_lines(file, stream, chunk_rows):
        chunk = _chunk(first_row, [line for line in lines if line.strip()], source)
        first_row += chunk.height
        if chunk.height:
            yield chunk


def _chunk(first_row: int, lines: list[bytes], source: Source) -> Chunk:
    texts, faults = decoded(lines)
    names, canonical = declared(source), {raw: name for name, raw in source.columns.items()}
    nothing = (None,) * len(names)
    rows: list[tuple[Any, ...]] = []
    for at, line in enumerate(texts):
        found = faults[at] or _parse(line)
        faults[at] = found if isinstance(found, str) else None
        rows.append(nothing if isinstance(found, str) else tuple(map(found.get, names)))
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    series = [_column(canonical.get(name, name), values, faults).alias(name) for name, values in zip(names, columns, strict=True)]
    return text_chunk(first_row, texts, faults, pl.DataFrame(series))


def _parse(line: str) -> dict[str, Any] | str:
    """Return a line's object, or the reason why there is none."""
    try:
        found = _loads(line)
    except RecursionError:
        return "broken JSON: nested too deep"
    except ValueError as error:
        return f"broken JSON: {error}"
    return found if type(found) is dict else f"broken JSON: not an object but {type(found).__name__}"


def _column(name: str, values: tuple[Any, ...], faults: list[str | None]) -> pl.Series:
    """Return one column as text; the reason of a value that is not plain goes into `faults`."""
    try:
        return pl.Series(name, values, dtype=pl.String)
    except (TypeError, UnicodeEncodeError):  # not only text
        texts: list[str | None] = []
        for at, value in enumerate(values):
            wrong = _wrong(value)
            texts.append(None if value is None or wrong else _text(value))
            if wrong:
                faults[at] = faults[at] or f"bad {name}: {wrong}"
        return pl.Series(name, texts, dtype=pl.String)


def _wrong(value: object) -> str:
    if isinstance(value, dict | list):
        return "a nested value"
    lone = isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value)
    return "half of a surrogate pair" if lone else ""


def _text(value: str | float | bool) -> str:
    """Return a JSON value as text; a whole float reads as the integer it is (pandas writes 5.0 for 5)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT else str(value)
