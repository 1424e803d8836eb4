"""The quarantine as a person reads it: why rows were kept out, and some of them."""

from typing import Any

import polars as pl


def count_reasons(rows: pl.LazyFrame) -> list[dict[str, Any]]:
    """Count the rows of each kind and reason, most first; a reason's quoted value does not make it another reason."""
    reason = pl.col("reason").str.split(": ").list.first()
    counts = rows.group_by("kind", reason).agg(pl.len().alias("rows")).sort("rows", "kind", "reason", descending=[True, False, False])
    return counts.collect(engine="streaming").to_dicts()


def first_rows(rows: pl.LazyFrame, limit: int) -> list[dict[str, Any]]:
    """Return kind, file, row (1 is a file's first data row), reason and raw text of the first `limit` rows by kind, file and row."""
    listed = rows.select("kind", "file", "row", "reason", "raw").sort("kind", "file", "row").head(limit)
    return listed.collect(engine="streaming").to_dicts()
