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
_loads = json.JSONDecoder().decode


def read_ndjson(file: RawFile, stream: IO[bytes], source: Source, chunk_rows: int) -> Iterator[Chunk]:
    """Yield the rows of an NDJSON file, values as text; blank lines hold no row, a key absent from a row is its missing value."""
    first_row = 1
    for lines in read_lines(file, stream, chunk_rows):
        chunk = _chunk(first_row, [line for line in lines if line.strip()], declared(source))
        first_row += chunk.height
        if chunk.height:
            yield chunk


def _chunk(first_row: int, lines: list[bytes], names: list[str]) -> Chunk:
    texts, faults = decoded(lines)
    columns: list[list[str | None]] = [[] for _ in names]
    appends = [(column.append, name) for column, name in zip(columns, names, strict=True)]
    for at, line in enumerate(texts):
        found, faults[at] = ({}, faults[at]) if faults[at] else _parse(line, names)
        for append, name in appends:
            value = found.get(name)
            append(value if value is None or type(value) is str else _text(value))
    values = pl.DataFrame({name: pl.Series(column, dtype=pl.String) for name, column in zip(names, columns, strict=True)})
    return text_chunk(first_row, texts, faults, values)


def _parse(line: str, names: list[str]) -> tuple[dict[str, Any], str | None]:
    """Return a line's object, or an empty one and the reason why there is none."""
    try:
        found = _loads(line)
    except RecursionError:
        return {}, "broken JSON: nested too deep"
    except ValueError as error:
        return {}, f"broken JSON: {error}"
    if type(found) is not dict:
        return {}, f"broken JSON: not an object but {type(found).__name__}"
    for name in names:
        if isinstance(found.get(name), dict | list):
            return {}, f"bad {name}: a nested value"
    if "\\u" in line and (bad := [name for name in names if isinstance(found.get(name), str) and _has_surrogate(found[name])]):
        return {}, f"bad {bad[0]}: half of a surrogate pair"
    return found, None


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _text(value: float | bool) -> str:
    """Return a JSON number or Boolean as text; a whole float reads as the integer it is (pandas writes 5.0 for 5)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT else str(value)
