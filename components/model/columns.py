"""The columns of samples that fields read."""

from typing import TYPE_CHECKING

import polars as pl

from components.errors import SettingsError
from components.model_fields import ModelField

if TYPE_CHECKING:
    from components.model.encoding import Layout

EXPOSED = "exposed_at"
"""The instant of an impression: what ages are relative to, and the day on which an id was seen."""


def check_columns(samples: pl.DataFrame, layout: "Layout") -> None:
    """Raise SettingsError for an encoded field whose column is absent or of the wrong kind."""
    for field in layout.ordered:
        for source in layout.sources(field):
            if source not in samples.columns:
                raise SettingsError(
                    f"field {field.name}: column {source} is not in the samples, which have {', '.join(samples.columns)}; "
                    "name one of them in the profile's `column`, or drop the field"
                )
            _check_type(samples, field, source)


def _check_type(samples: pl.DataFrame, field: ModelField, source: str) -> None:
    dtype = samples.schema[source]
    if field.ages and not (isinstance(dtype, pl.List) and dtype.inner.is_integer() and EXPOSED in samples.columns):
        raise SettingsError(f"field {field.name}: ages need a list of integers and {EXPOSED}; found {source} of type {dtype}")
    listed = dtype == pl.String if field.separator else isinstance(dtype, pl.List)
    fits = {"number": dtype.is_numeric() or dtype == pl.Boolean, "list": listed}
    if not fits.get(field.kind, not dtype.is_nested()):
        raise SettingsError(f"field {field.name}: kind {field.kind} cannot read column {source} of type {dtype}; change the kind")
