"""The same AUCs within parts of the holdout: by the profile's columns, new ids and position."""

import polars as pl

from components.evaluate.tasks import Json, auc_metrics
from components.settings import Evaluation

BUILT_IN = ("new_user", "new_item", "position")
TOP_VALUES = 10
MISSING = "missing"
_POSITIONS = {1: "1 or less", 2: "2", 3: "3", 5: "4-5", 10: "6-10", 20: "11-20"}
"""Last position of a bucket -> its name."""
_BEYOND = "over 20"


def slice_columns(scored: pl.DataFrame, slices: tuple[str, ...]) -> list[str]:
    """Return the columns to slice by: those asked for, then the built-in ones that hold anything; raises ValueError for an absent one."""
    if absent := [name for name in slices if name not in scored.columns]:
        raise ValueError(f"slices {', '.join(absent)}: no such columns in the scored rows; found {', '.join(scored.columns)}")
    built_in = [name for name in BUILT_IN if name in scored.columns and scored[name].null_count() < scored.height]
    return list(dict.fromkeys((*slices, *built_in)))


def slice_metrics(scored: pl.DataFrame, column: str, roles: tuple[str, ...], evaluation: Evaluation) -> Json:
    """Return the AUCs of each of the column's values with the most rows, and how many values and rows are left out.

    Values are text, a null is "missing"; positions are bucketed. Where a value has too few positives its AUCs say so.
    """
    sliced = scored.with_columns(slice=_value(column).fill_null(MISSING))
    counts = sliced.group_by("slice").len("rows").sort(["rows", "slice"], descending=[True, False])
    kept, rest = counts.head(TOP_VALUES), counts.slice(TOP_VALUES)
    values = [_one(sliced, value, roles, evaluation) for value in kept["slice"]]
    return {"values": values, "other_values": rest.height, "other_rows": int(rest["rows"].sum())}


def _value(column: str) -> pl.Expr:
    if column != "position":
        return pl.col(column).cast(pl.String)
    buckets = [pl.when(pl.col(column) <= last).then(pl.lit(name)) for last, name in _POSITIONS.items()]
    return pl.coalesce(*buckets, pl.when(pl.col(column).is_not_null()).then(pl.lit(_BEYOND)))


def _one(sliced: pl.DataFrame, value: str, roles: tuple[str, ...], evaluation: Evaluation) -> Json:
    rows = sliced.filter(pl.col("slice") == value)
    counts = {"value": value, "rows": rows.height, "clicks": int(rows["clicked"].sum()), "conversions": int(rows["converted"].sum())}
    return {**counts, "champion": None, "difference": None, **auc_metrics(rows, roles, evaluation)}
