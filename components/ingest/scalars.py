"""Ids, numbers and Booleans as written in the raw logs -> the types of the tables, as pure Polars expressions.

Each expression is null both where the value is missing and where it is unreadable; `unreadable` tells the two apart. An empty text and
a not-a-number are missing values.
"""

import polars as pl

from components.tables import type_

MAX_TEXT = 1 << 20
"""Bytes of a text at most."""
EXACT = 1 << 53
"""From here on two integers may be one float."""
_TRUTH = {"true": True, "false": False, "1": True, "0": False}


def readable(dtype: pl.DataType) -> bool:
    """Tell whether a column of this type holds one plain value a row."""
    plain = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Decimal, pl.Null)
    return dtype.is_integer() or dtype.is_float() or isinstance(dtype, plain)


def text(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return the value as text, integers exactly; a whole float (an integer column with gaps, in pandas) reads as the integer it is."""
    value = pl.col(name)
    if dtype.is_float():
        whole = (value == value.floor()) & (value.abs() <= EXACT)
        shown = pl.when(whole).then(value.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(value.cast(pl.String))
        return pl.when(value.is_not_nan()).then(shown)
    written = value.cast(pl.String, strict=False)
    return pl.when(written != "").then(written)


def integer(name: str, dtype: pl.DataType, target: type_) -> pl.Expr:
    """Return a whole number, also when written `5.0`."""
    return text(name, dtype).str.strip_chars().str.replace(r"\.0+$", "").cast(target, strict=False)


def floating(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return a finite number."""
    value = pl.col(name).cast(pl.Float64) if dtype.is_numeric() else text(name, dtype).str.strip_chars().cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value)


def boolean(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return true, false, 1 or 0 as a Boolean."""
    lowered = text(name, dtype).str.strip_chars().str.to_lowercase()
    return lowered.replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)


def scalar(name: str, dtype: pl.DataType, target: type_) -> pl.Expr:
    """Return raw column `name` in the type of a table's column: text, integer, float or Boolean."""
    if target == pl.String:
        found = text(name, dtype)
        if dtype.is_float():  # from there on two integers may be one float
            return pl.when(pl.col(name).abs() < (1 << 24 if dtype == pl.Float32 else EXACT)).then(found)
        return pl.when(found.str.len_bytes() <= MAX_TEXT).then(found)
    if target == pl.Boolean:
        return boolean(name, dtype)
    return floating(name, dtype) if target == pl.Float64 else integer(name, dtype, target)


def plain(values: pl.Series, target: type_) -> pl.Expr:
    """Return what `scalar` does, null also where that takes longer: for numbers written as text with spaces, `5.0` for 5."""
    name, dtype = values.name, values.dtype
    if dtype == pl.String and target == pl.String:
        lengths = values.str.len_bytes()
        shortest, longest = lengths.min(), lengths.max()
        if isinstance(shortest, int) and isinstance(longest, int) and 0 < shortest <= longest <= MAX_TEXT:
            return pl.col(name)
    if (dtype == pl.String or dtype.is_integer()) and target in (pl.Int32, pl.Int64):
        return pl.col(name).cast(target, strict=False)
    if dtype == pl.String and target == pl.Float64:
        value = pl.col(name).cast(pl.Float64, strict=False)
        return pl.when(value.is_finite()).then(value)
    if dtype == target == pl.Boolean or (dtype == target == pl.Float64 and values.is_finite().all()):
        return pl.col(name)
    return scalar(name, dtype, target)


def present(values: pl.Series) -> pl.Series:
    """Tell where a raw column may hold something."""
    if values.dtype == pl.String:
        return (values != "").fill_null(False)
    return values.is_not_nan().fill_null(False) if values.dtype.is_float() else values.is_not_null()


def unreadable(name: str, dtype: pl.DataType, value: pl.Expr) -> pl.Expr:
    """Tell where raw column `name` holds something and its `value` is null all the same."""
    present = text(name, dtype)
    return present.is_not_null() & (present.str.to_lowercase() != "nan") & value.is_null()
