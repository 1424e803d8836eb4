"""Raw logs of impressions in each format, from the same rows."""

import io
import json
from collections.abc import Sequence
from typing import Any

import polars as pl

Row = dict[str, Any]
GOOD = {"user": "u", "item": "x", "time": "2024-05-02T08:00:00Z", "scene": "home", "rank": 1, "price": 12.55}


def rows(ids: Sequence[str] = ("i0", "i1", "i2"), **changes: Any) -> list[Row]:
    """Return one good impression an id, with the changes asked for; a list gives each row its own value."""
    each = {name: value if isinstance(value, list) else [value] * len(ids) for name, value in {**GOOD, **changes}.items()}
    return [{"id": key, **{name: values[at] for name, values in each.items()}} for at, key in enumerate(ids)]


def as_csv(found: list[Row], *, delimiter: str = ",") -> str:
    """Write rows as CSV with a line end after each."""
    lines = [delimiter.join(found[0]), *(delimiter.join(str(value) for value in row.values()) for row in found)]
    return "".join(f"{line}\n" for line in lines)


def as_ndjson(found: list[Row]) -> str:
    """Write rows as NDJSON with a line end after each."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in found)


def as_parquet(found: list[Row] | pl.DataFrame) -> bytes:
    """Write rows as a Parquet file."""
    buffer = io.BytesIO()
    (found if isinstance(found, pl.DataFrame) else pl.DataFrame(found)).write_parquet(buffer)
    return buffer.getvalue()
