"""Assembled samples -> row numbers of the one concatenated embedding table.

Every vocabulary owns a run of rows; its first row is the missing value. Letters: N rows, S single fields (ids, numbers and crosses),
L list fields, E list entries in all, F entries of one field.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.errors import DataError
from components.model.bucketing import bucket, bucket_between
from components.model.columns import EXPOSED, check_columns
from components.model.hashing import Hashed, hash_distinct, hash_tuples, look_up
from components.model.identity import UNKNOWN, KnownIds
from components.model.lists import entries, interleave, spread
from components.model_fields import ModelField, Side
from components.profile import Profile

Ids = NDArray[np.int64]
NO_IDS: Mapping[str, KnownIds] = MappingProxyType({})
"""For a layout without exact vocabularies."""


@dataclass(frozen=True)
class Origin:
    """What a hashed table was when it was new: its ids are hashed by that for good."""

    vocabulary: str
    """Its name now."""
    name: str
    rows: int


@dataclass(frozen=True)
class Layout:
    """Where each field of a profile finds its rows."""

    fields: tuple[ModelField, ...]
    """Of both sides, for one side's may share a table or be a part of what is of the other's."""
    vocabularies: dict[str, int]
    """Embedding tables, name -> number of rows, in the order in which they are concatenated."""
    pool: int = 0
    """Rows behind those, for the ids of exact vocabularies."""
    sides: frozenset[Side] = frozenset({"item", "user"})
    """Whose fields are encoded."""
    origins: tuple[Origin, ...] = ()
    """Of the tables that have been renamed or resized since they were new."""

    @classmethod
    def of(cls, profile: Profile) -> "Layout":
        """Lay out the fields of a profile."""
        return cls(profile.fields, profile.vocabularies)

    @cached_property
    def singles(self) -> tuple[ModelField, ...]:
        """Fields with one row per sample, in profile order."""
        return tuple(field for field in self.fields if field.kind != "list" and field.side in self.sides)

    @cached_property
    def lists(self) -> tuple[ModelField, ...]:
        """Fields with any number of rows per sample, in profile order."""
        return tuple(field for field in self.fields if field.kind == "list" and field.side in self.sides)

    @property
    def ordered(self) -> tuple[ModelField, ...]:
        """All fields that are encoded, in the order of their embeddings."""
        return (*self.singles, *self.lists)

    def of_side(self, side: Side) -> "Layout":
        """Return the layout of one side's fields, over the same table."""
        return replace(self, sides=frozenset({side}))

    def with_boundaries(self, boundaries: Mapping[str, Sequence[float]]) -> "Layout":
        """Return the layout with learned boundaries, by the field's name, where the profile declares none."""
        learned = {name: {"boundaries": tuple(own)} for name, own in boundaries.items() if self.named[name].learned}
        return replace(self, fields=tuple(field.model_copy(update=learned.get(field.name)) for field in self.fields))

    @cached_property
    def named(self) -> dict[str, ModelField]:
        """The fields of both sides, by name."""
        return {field.name: field for field in self.fields}

    def origin(self, vocabulary: str) -> Origin:
        """Return what a table was when it was new."""
        as_it_is = Origin(vocabulary, vocabulary, self.vocabularies[vocabulary])
        return next((origin for origin in self.origins if origin.vocabulary == vocabulary), as_it_is)

    def sources(self, field: ModelField) -> list[str]:
        """Return the columns that a field reads: one, or those of a cross's parts."""
        return [self.named[part].source for part in field.of] or [field.source]

    @cached_property
    def offsets(self) -> dict[str, int]:
        """First row of each vocabulary in the concatenated table."""
        return dict(zip(self.vocabularies, accumulate(self.vocabularies.values(), initial=0), strict=False))

    @cached_property
    def exact(self) -> tuple[ModelField, ...]:
        """The fields that own an exact vocabulary, of both sides."""
        return tuple(field for field in self.fields if field.exact and field.name in self.vocabularies)

    @cached_property
    def pool_from(self) -> int:
        """First row of the pool in the concatenated table."""
        return sum(self.vocabularies.values())

    @property
    def rows(self) -> int:
        """Rows of the concatenated table."""
        return self.pool_from + self.pool

    @property
    def columns(self) -> list[str]:
        """Columns of the samples that the encoded fields read, each once."""
        instants = [EXPOSED] if any(field.ages for field in self.lists) else []
        fields = (field for field in self.fields if field.side in self.sides)
        return list(dict.fromkeys([*(source for field in fields for source in self.sources(field)), *instants]))


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

    @property
    def lists(self) -> int:
        """The number of list fields, L; 0 where there are no samples."""
        return (len(self.offsets_NL) - 1) // max(len(self), 1)

    def slice(self, first: int, last: int) -> "Encoded":
        """Return the samples [first, last), without copying ids."""
        offsets = self.offsets_NL[first * self.lists : last * self.lists + 1]
        return Encoded(self.ids_NS[first:last], self.values_E[offsets[0] : offsets[-1]], offsets - offsets[0])


@dataclass(frozen=True)
class Read:
    """Samples whose ids are hashed and have no rows yet."""

    height: int
    columns: dict[str, Hashed | Ids]
    """By field, in the layout's order: ids by their hashes, buckets and declared values as rows of their own table."""
    lengths: tuple[Ids, ...]
    """Entries of each sample, by list field."""

    def hashed(self) -> Iterator[tuple[str, Hashed]]:
        """Yield the fields whose ids are hashed."""
        return ((name, column) for name, column in self.columns.items() if isinstance(column, Hashed))


def encode(samples: pl.DataFrame, layout: Layout, known: Mapping[str, KnownIds] = NO_IDS, order_N: Ids | None = None) -> Encoded:
    """Encode assembled samples; raises SettingsError for a field whose column is absent or of the wrong kind.

    known: the ids that have a row, for each exact vocabulary. order: of the samples; None: as they are.
    """
    return number(read(samples, layout), layout, known, order_N)


def read(samples: pl.DataFrame, layout: Layout) -> Read:
    """Hash the ids of assembled samples and bucket their numbers; raises as `encode` does."""
    check_columns(samples, layout)
    lists = {field.name: _read_list(samples, field, layout) for field in layout.lists}
    singles = {field.name: _read_single(samples, field, layout) for field in layout.singles}
    columns = {**singles, **{name: column for name, (column, _) in lists.items()}}
    return Read(samples.height, columns, tuple(lengths for _, lengths in lists.values()))


def number(samples: Read, layout: Layout, known: Mapping[str, KnownIds], order_N: Ids | None = None) -> Encoded:
    """Give samples that were read the rows of the concatenated table; order: of the samples, None: as they are."""
    ids_NS = np.empty((samples.height, len(layout.singles)), np.int64)
    for place, field in enumerate(layout.singles):
        _fill(ids_NS[:, place], _ordered(samples.columns[field.name], order_N), field, layout, known)
    entries_E = np.empty(sum(int(lengths_N.sum()) for lengths_N in samples.lengths), np.int64)
    first = 0
    for field, lengths_N in zip(layout.lists, samples.lengths, strict=True):
        last = first + int(lengths_N.sum())
        _fill(entries_E[first:last], samples.columns[field.name], field, layout, known)
        first = last
    return Encoded(ids_NS, *interleave(entries_E, samples.lengths, order_N))


def _ordered(column: Hashed | Ids, order_N: Ids | None) -> Hashed | Ids:
    if order_N is None:
        return column
    return replace(column, which_N=column.which_N[order_N]) if isinstance(column, Hashed) else column[order_N]


def _fill(rows_N: Ids, column: Hashed | Ids, field: ModelField, layout: Layout, known: Mapping[str, KnownIds]) -> None:
    """Write a field's rows of the concatenated table."""
    missing = layout.offsets[field.vocabulary]
    if isinstance(column, Hashed):
        column.spread(table_rows(column, field, layout, known), missing, out=rows_N)
    else:
        np.add(column, missing, out=rows_N)


def table_rows(column: Hashed, field: ModelField, layout: Layout, known: Mapping[str, KnownIds]) -> Ids:
    """Return row_D of a field's hashes in the concatenated table: of an exact vocabulary those of the known ids, and that of all others."""
    first = layout.offsets[field.vocabulary]
    if not layout.named[field.vocabulary].exact:
        return column.rows(layout.vocabularies[field.vocabulary], layout.origin(field.vocabulary).rows) + first
    found_D = known[field.vocabulary].find(column.hashes_D)
    return np.where(found_D < 0, first + UNKNOWN, layout.pool_from + found_D)


def _read_single(samples: pl.DataFrame, field: ModelField, layout: Layout) -> Hashed | Ids:
    if field.kind == "number":
        return _numbers(samples[field.source], field, layout)
    if field.kind == "cross":
        return hash_tuples([samples[source] for source in layout.sources(field)], table=layout.origin(field.vocabulary).name)
    return _ids(samples[field.source], field, layout)


def _ids(ids: pl.Series, field: ModelField, layout: Layout) -> Hashed | Ids:
    """Return ids by their hashes or, where the owner of their table declares values, as rows of it."""
    values = layout.named[field.vocabulary].values
    return look_up(ids.cast(pl.String), values) if values else hash_distinct(ids, table=layout.origin(field.vocabulary).name)


def _numbers(numbers: pl.Series, field: ModelField, layout: Layout) -> Ids:
    if field.bucketing == "quantile":
        return bucket_between(numbers, field.boundaries)
    return bucket(numbers, field.scale, layout.vocabularies[field.vocabulary])


def _read_list(samples: pl.DataFrame, field: ModelField, layout: Layout) -> tuple[Hashed | Ids, Ids]:
    """Return a list field's entries, all samples' after one another, and the number of each sample; null entries are padding."""
    if field.beside or field.ages:
        return _read_properties(samples, field, layout)
    found, lengths_N = entries(samples[field.source], length=field.length, separator=field.separator)
    column = _ids(found, field, layout)
    return (_filled(column, lengths_N), np.maximum(lengths_N, 1)) if field.fill else (column, lengths_N)


def _filled(column: Hashed | Ids, lengths_N: Ids) -> Hashed | Ids:
    """Put a missing entry into each list that has none."""
    places = np.cumsum(lengths_N)[lengths_N == 0]
    if isinstance(column, Hashed):
        return replace(column, which_N=np.insert(column.which_N, places, -1))
    return np.insert(column, places, 0)


def _read_properties(samples: pl.DataFrame, field: ModelField, layout: Layout) -> tuple[Hashed | Ids, Ids]:
    """Read a list of properties: padding is where the list that it is beside (or, beside none, it itself) has null entries."""
    base = next((other for other in layout.lists if other.name == field.beside), field)
    keys, owners = spread(samples[base.source], base.length)
    values, their_owners = spread(samples[field.source], base.length)
    if not owners.equals(their_owners):
        raise DataError(
            f"field {field.name}: expected lists in {field.source} as long as those in {base.source}, found others; "
            "take both from the same list of the features"
        )
    kept = keys.is_not_null()
    owners, values = owners.filter(kept), values.filter(kept)
    lengths_N = np.bincount(owners.to_numpy(), minlength=samples.height)
    if not field.ages:
        return _ids(values, field, layout), lengths_N
    ages = samples[EXPOSED].dt.epoch("us").gather(owners) - values
    return _numbers(ages / 1e6, field, layout), lengths_N
