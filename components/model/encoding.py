"""Assembled samples -> row numbers of the one concatenated embedding table.

Every vocabulary owns a run of rows; its first row is the missing value. Letters: N rows, S single fields (ids and numbers),
L list fields, E list entries in all, F entries of one field.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.errors import DataError, SettingsError
from components.model.hashing import hash_ids
from components.profile import ModelField, Profile, Side

Ids = NDArray[np.int64]
_EXPOSED = "exposed_at"
"""The column that ages are relative to."""


@dataclass(frozen=True)
class Layout:
    """Where each field of a profile finds its rows."""

    fields: tuple[ModelField, ...]
    vocabularies: dict[str, int]
    """Embedding tables, name -> number of rows, in the order in which they are concatenated."""

    @classmethod
    def of(cls, profile: Profile) -> "Layout":
        """Lay out the fields of a profile."""
        return cls(profile.fields, profile.vocabularies)

    @cached_property
    def singles(self) -> tuple[ModelField, ...]:
        """Fields with one row per sample, in profile order."""
        return tuple(field for field in self.fields if field.kind != "list")

    @cached_property
    def lists(self) -> tuple[ModelField, ...]:
        """Fields with any number of rows per sample, in profile order."""
        return tuple(field for field in self.fields if field.kind == "list")

    @property
    def ordered(self) -> tuple[ModelField, ...]:
        """All fields in the order of their embeddings."""
        return (*self.singles, *self.lists)

    def of_side(self, side: Side) -> "Layout":
        """Return the layout of one side's fields, over the same table."""
        return Layout(tuple(field for field in self.fields if field.side == side), self.vocabularies)

    @cached_property
    def offsets(self) -> dict[str, int]:
        """First row of each vocabulary in the concatenated table."""
        return dict(zip(self.vocabularies, accumulate(self.vocabularies.values(), initial=0), strict=False))

    @property
    def rows(self) -> int:
        """Rows of the concatenated table."""
        return sum(self.vocabularies.values())

    @property
    def columns(self) -> list[str]:
        """Columns of the samples that the fields read, each once."""
        instants = [_EXPOSED] if any(field.ages for field in self.fields) else []
        return list(dict.fromkeys([*(field.source for field in self.fields), *instants]))


@dataclass(frozen=True)
class Encoded:
    """Samples as row numbers. The entries of list field l of sample n are values_E[offsets_NL[n * L + l] : offsets_NL[n * L + l + 1]]."""

    ids_NS: Ids
    values_E: Ids
    offsets_NL: Ids
    """N * L + 1 positions in values_E."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.ids_NS)

    def slice(self, first: int, last: int) -> "Encoded":
        """Return the samples [first, last), without copying ids."""
        lists = (len(self.offsets_NL) - 1) // max(len(self), 1)
        offsets = self.offsets_NL[first * lists : last * lists + 1]
        return Encoded(self.ids_NS[first:last], self.values_E[offsets[0] : offsets[-1]], offsets - offsets[0])


def encode(samples: pl.DataFrame, layout: Layout) -> Encoded:
    """Encode assembled samples, in their order; raises SettingsError for a field whose column is absent or of the wrong kind."""
    _check_columns(samples, layout)
    ids_NS = np.empty((samples.height, len(layout.singles)), np.int64)
    for place, field in enumerate(layout.singles):
        column, rows = samples[field.source], layout.vocabularies[field.vocabulary]
        local_N = bucket(column, field.scale, rows) if field.kind == "number" else _hash(column, field, rows)
        ids_NS[:, place] = local_N + layout.offsets[field.vocabulary]
    return Encoded(ids_NS, *_interleave([_encode_list(samples, field, layout) for field in layout.lists]))


def bucket(numbers: pl.Series, scale: float, rows: int) -> Ids:
    """Return 1 + floor(4 log2(1 + scale x)), capped at rows - 1; 0 for null and NaN; a negative number counts as 0."""
    values_N = numbers.cast(pl.Float64).fill_null(np.nan).to_numpy()
    missing_N = np.isnan(values_N)
    exponent_N = 4 * np.log2(1 + scale * np.where(missing_N, 0.0, values_N).clip(min=0.0))
    return np.where(missing_N, 0, 1 + np.floor(exponent_N).clip(max=rows - 2)).astype(np.int64)


def _hash(column: pl.Series, field: ModelField, rows: int) -> Ids:
    return hash_ids(column.cast(pl.String), table=field.vocabulary, rows=rows)


def _encode_list(samples: pl.DataFrame, field: ModelField, layout: Layout) -> tuple[Ids, Ids]:
    """Return a list field's entries, all samples' after one another, and the number of each sample; null entries are padding."""
    if field.beside or field.ages:
        return _encode_properties(samples, field, layout)
    kept = samples[field.source].cast(pl.List(pl.String)).list.head(field.length).list.drop_nulls()
    lengths_N = kept.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    values_E = _hash(kept.explode().drop_nulls(), field, layout.vocabularies[field.vocabulary])
    return values_E + layout.offsets[field.vocabulary], lengths_N


def _encode_properties(samples: pl.DataFrame, field: ModelField, layout: Layout) -> tuple[Ids, Ids]:
    """Encode a list of properties: padding is where the list that it is beside (or, beside none, it itself) has null entries."""
    base = next((other for other in layout.lists if other.name == field.beside), field)
    keys, owners = _spread(samples[base.source], base.length)
    values, their_owners = _spread(samples[field.source], base.length)
    if not owners.equals(their_owners):
        raise DataError(
            f"field {field.name}: expected lists in {field.source} as long as those in {base.source}, found others; "
            "take both from the same list of the features"
        )
    kept, rows = keys.is_not_null(), layout.vocabularies[field.vocabulary]
    owners, values = owners.filter(kept), values.filter(kept)
    if field.ages:
        ages = samples[_EXPOSED].dt.epoch("us").gather(owners) - values
        local_E = bucket(ages / 1e6, field.scale, rows)
    else:
        local_E = _hash(values, field, rows)
    return local_E + layout.offsets[field.vocabulary], np.bincount(owners.to_numpy(), minlength=samples.height)


def _spread(lists: pl.Series, length: int) -> tuple[pl.Series, pl.Series]:
    """Return the first entries of all lists after one another, null ones too, and the number of the list that each is of."""
    numbered = pl.DataFrame({"entry": lists.list.head(length), "owner": pl.int_range(len(lists), eager=True)})
    return tuple(numbered.filter(pl.col("entry").list.len() > 0).explode("entry").get_columns())  # type: ignore[return-value]  # two columns


def _interleave(lists: list[tuple[Ids, Ids]]) -> tuple[Ids, Ids]:
    """Bring the entries of several list fields into sample order, so that a run of samples is a run of entries: (values_E, offsets_NL)."""
    if not lists:
        return np.empty(0, np.int64), np.zeros(1, np.int64)
    lengths_NL = np.stack([lengths_N for _, lengths_N in lists], axis=1)
    offsets_NL = np.concatenate([[0], np.cumsum(lengths_NL)])
    starts_NL = offsets_NL[:-1].reshape(lengths_NL.shape)
    merged_E = np.empty(offsets_NL[-1], np.int64)
    for place, (values_F, lengths_N) in enumerate(lists):
        shift_N = starts_NL[:, place] - (np.cumsum(lengths_N) - lengths_N)
        merged_E[np.arange(len(values_F)) + np.repeat(shift_N, lengths_N)] = values_F
    return merged_E, offsets_NL


def _check_columns(samples: pl.DataFrame, layout: Layout) -> None:
    for field in layout.fields:
        if field.source not in samples.columns:
            raise SettingsError(
                f"field {field.name}: column {field.source} is not in the samples, which have {', '.join(samples.columns)}; "
                "name one of them in the profile's `column`, or drop the field"
            )
        dtype = samples.schema[field.source]
        if field.ages and not (isinstance(dtype, pl.List) and dtype.inner.is_integer() and _EXPOSED in samples.columns):
            raise SettingsError(f"field {field.name}: ages need a list of integers and {_EXPOSED}; found {field.source} of type {dtype}")
        fits = {"id": not dtype.is_nested(), "number": dtype.is_numeric() or dtype == pl.Boolean, "list": isinstance(dtype, pl.List)}
        if not fits[field.kind]:
            raise SettingsError(f"field {field.name}: kind {field.kind} cannot read column {field.source} of type {dtype}; change the kind")
