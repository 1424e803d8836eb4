"""The inputs of the model, as a profile declares them: each field by itself, and the fields beside one another."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from math import isfinite
from typing import Any, Literal, Self

from pydantic import Field, model_serializer, model_validator

from components.section import Section

FieldKind = Literal["id", "number", "list", "cross"]
Side = Literal["item", "user"]
MAX_LEARNED_BUCKETS = 1024
"""More would learn each boundary from few rows, and the manifest holds them all."""
_LATER = ("was", "values", "bucketing", "boundaries", "of", "fill", "separator", "exact", "admit_after", "expire_days")
"""Keys that fields did not always have: written down only where they are set, so that what was saved before reads the same."""


class ModelField(Section):
    """One input of the model, read from a column of the assembled samples; a cross, from those of its parts."""

    name: str
    kind: FieldKind
    """An id, hashed or one of declared values; a number, bucketed; a list of ids, pooled; a cross of id fields, hashed."""
    column: str = ""
    """Column of the assembled samples; the field's name when empty."""
    was: str = ""
    """The field of an earlier day, under another name or from another column, whose place this one takes with all that was learned."""
    table: str = ""
    """Embedding table; the field's own when empty. Fields of one vocabulary share a table by naming it."""
    buckets: int = Field(default=65536, ge=2)
    """Rows of the table when this field owns it, unless `values` or `boundaries` say how many: hashed ids, or number buckets."""
    values: tuple[str, ...] = ()
    """Ids and lists of ids that own their table: all values that have a row of their own, in this order; others share one. Not hashed."""
    exact: bool = False
    """Ids, lists of ids and crosses that own their table: an admitted id has a row to itself, `buckets` of them at most. Not hashed."""
    admit_after: int = Field(default=1, ge=1)
    """Exact only: an id is admitted once it has been seen this often; all others share one row."""
    expire_days: int = Field(default=0, ge=0, le=3650)
    """Exact only: an id loses its row when it was on none of this many days that were trained in a row; 0: never."""
    bucketing: Literal["log", "quantile"] = "log"
    """How numbers are bucketed: by `scale`, or between `boundaries`."""
    scale: float = Field(default=1.0, gt=0)
    """log: bucket = 1 + floor(4 log2(1 + scale x)), capped at buckets - 1; bucket 0 is a missing value."""
    boundaries: tuple[float, ...] = ()
    """quantile: the first number of each bucket but the lowest. Empty: learned at the cold start, so that each has as many rows."""
    of: tuple[str, ...] = ()
    """Crosses only: the two or three id fields whose pairs or triples are ids of their own; missing where one of them is."""
    pooling: Literal["sum", "mean", "attention"] = "sum"
    """Lists only. `attention`: a sum with weights that depend on the id field whose `table` this one shares."""
    length: int = Field(default=50, ge=1)
    """Lists only: the first `length` entries are read."""
    fill: bool = False
    """Lists only: one without entries counts as one missing entry, whose embedding is learned; else it is zeros."""
    separator: str = Field(default="", max_length=1)
    """Lists of ids only: the column is text, its entries separated by this letter; an empty entry is none. Empty: the column is a list."""
    side: Side = "item"
    """`user`: the same for all the items that a user is shown at once. Split scoring computes these once."""
    beside: str = ""
    """Lists only: the list field whose entries this one's are properties of, one for each: its length and its missing entries count."""
    ages: bool = False
    """Lists only: entries are microseconds since 1970 UTC, read as ages at exposed_at in seconds, bucketed as numbers are."""

    @property
    def source(self) -> str:
        """The column this field reads; a cross reads those of its parts."""
        return self.column or self.name

    @property
    def vocabulary(self) -> str:
        """The embedding table this field reads."""
        return self.table or self.name

    @property
    def rows(self) -> int:
        """Rows of the table when this field owns it, the first of them for what is missing; known ids of an exact one have others."""
        declared = len(self.values) or len(self.boundaries)
        return declared + 2 if declared or self.exact else self.buckets

    @property
    def learned(self) -> bool:
        """Whether the boundaries come from the rows of the cold start."""
        return self.bucketing == "quantile" and not self.boundaries

    @property
    def numeric(self) -> bool:
        """Whether rows of the table are buckets of numbers."""
        return self.kind == "number" or self.ages

    @model_serializer(mode="wrap")
    def _write(self, write: Callable[[Self], dict[str, Any]]) -> dict[str, Any]:
        unset = {key for key in _LATER if getattr(self, key) == type(self).model_fields[key].default}
        return {key: value for key, value in write(self).items() if key not in unset}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for mistake in (*self._mistaken_values(), *self._mistaken_identity(), *self._mistaken_boundaries(), *self._mistaken_parts()):
            raise ValueError(f"field {self.name}: {mistake}")
        if self.fill and (self.kind != "list" or self.numeric or self.beside):
            raise ValueError(f"field {self.name}: fill: expected a list of ids that is beside no other; leave fill out")
        if self.separator and (self.kind != "list" or self.numeric or self.beside):
            raise ValueError(f"field {self.name}: separator: expected a list of ids that is beside no other; leave separator out")
        return self

    def _mistaken_values(self) -> Iterator[str]:
        if not self.values:
            return
        if self.kind not in ("id", "list") or self.ages:
            yield f"values: expected a field of kind id or a list of ids, found kind {self.kind}; numbers take boundaries"
        if self.vocabulary != self.name:
            yield f"values: expected them on the field that owns table {self.table}; move them there, all fields of the table use them"
        if repeated := sorted(value for value, times in Counter(self.values).items() if times > 1):
            yield f"values: expected each value once, found {', '.join(map(repr, repeated))} again"
        if "buckets" in self.model_fields_set:
            yield "values: they decide how many rows the table has; leave out buckets"

    def _mistaken_identity(self) -> Iterator[str]:
        if not self.exact:
            if lost := sorted({"admit_after", "expire_days"} & self.model_fields_set):
                yield f"{', '.join(lost)}: expected exact = true beside them; add it"
            return
        if self.numeric or self.values:
            yield "exact: expected an id, a list of ids or a cross, without values, which have rows of their own already; leave exact out"
        if self.vocabulary != self.name:
            yield f"exact: expected it on the field that owns table {self.table}; move it there, all fields of the table follow"

    def _mistaken_boundaries(self) -> Iterator[str]:
        if self.bucketing == "log":
            if self.boundaries:
                yield 'boundaries: expected bucketing = "quantile" beside them; add it'
            return
        if not self.numeric:
            yield f"bucketing: expected a number, or a list with ages, found kind {self.kind}; leave bucketing out"
        if self.vocabulary != self.name:
            yield f"bucketing quantile: expected a table of its own, since its boundaries fit this number alone; drop table {self.table}"
        if "scale" in self.model_fields_set:
            yield "bucketing quantile: scale is for bucketing log; leave it out"
        if not all(map(isfinite, self.boundaries)) or any(low >= high for low, high in pairwise(self.boundaries)):
            yield f"boundaries: expected finite numbers, each higher than the one before, found {list(self.boundaries)}"
        if self.boundaries and "buckets" in self.model_fields_set:
            yield "boundaries: they decide how many rows the table has; leave out buckets"
        if self.learned and self.ages:
            yield "bucketing quantile: ages need boundaries, in seconds; declare them, such as [60, 3600, 86400]"
        if self.learned and not 3 <= self.buckets <= MAX_LEARNED_BUCKETS:
            yield (
                f"bucketing quantile: expected buckets from 3 to {MAX_LEARNED_BUCKETS}, one of them for missing numbers, "
                f"found {self.buckets}; 32 is a good start, or declare boundaries"
            )

    def _mistaken_parts(self) -> Iterator[str]:
        if self.kind != "cross":
            if self.of:
                yield f'of: expected kind = "cross", found kind {self.kind}; change the kind or leave of out'
            return
        if not 2 <= len(set(self.of)) == len(self.of) <= 3:
            yield f'of: expected two or three different id fields, such as of = ["user_id", "city"], found {list(self.of)}'
        if self.column or self.table:
            yield "a cross reads the columns of its parts and owns its table; leave out column and table"


def check_fields(fields: tuple[ModelField, ...]) -> None:
    """Raise ValueError where fields do not fit one another, naming the field, what was expected and what can be chosen."""
    names = [field.name for field in fields]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"fields repeat {', '.join(repeated)}")
    if repeated := sorted(was for was, times in Counter(field.was for field in fields if field.was).items() if times > 1):
        raise ValueError(f"fields take the place of {', '.join(repeated)} more than once; leave `was` to one of them")
    named = {field.name: field for field in fields}
    for field in fields:
        _check_table(field, named)
        _check_list(field, named)
        _check_cross(field, named)


def _check_table(field: ModelField, named: Mapping[str, ModelField]) -> None:
    owners = sorted(name for name, other in named.items() if other.vocabulary == name)
    if field.vocabulary not in owners:
        raise ValueError(f"field {field.name} shares table {field.table}, which no field owns; name one of {owners}")
    owner = named[field.vocabulary]
    if owner is field:
        return
    if owner.kind == "cross" or owner.bucketing == "quantile":
        what = "a cross" if owner.kind == "cross" else "a number bucketed by quantiles"
        raise ValueError(f"field {field.name} shares table {field.table}, whose owner is {what} and shares it with none; drop table")
    if field.numeric != owner.numeric:
        found = ("ids", "numbers")[owner.numeric]
        raise ValueError(f"field {field.name} of kind {field.kind} shares table {field.table}, whose rows are {found}; drop table")


def _check_list(field: ModelField, named: Mapping[str, ModelField]) -> None:
    if field.kind != "list" and (field.beside or field.ages):
        raise ValueError(f"field {field.name}: beside and ages are for lists, found kind {field.kind}")
    targets = [other.name for other in named.values() if other.kind == "id" and other.side == "item"]
    if field.pooling == "attention" and (field.kind != "list" or field.side != "item" or field.table not in targets):
        raise ValueError(
            f"field {field.name}: pooling attention: expected a list of the item's side that shares the table of an id field of "
            f"that side, found side {field.side} and table {field.table!r}; name one of {targets}"
        )
    bases = [other.name for other in named.values() if other.kind == "list" and not other.beside and other.side == field.side]
    if field.beside and field.beside not in bases:
        raise ValueError(
            f"field {field.name}: beside: expected a list field of the {field.side}'s side that is beside no other, "
            f"found {field.beside}; name one of {sorted(bases)}"
        )
    if field.beside and named[field.beside].separator:
        raise ValueError(f"field {field.beside}: separator: {field.name} is beside it, and reads a list; leave separator out")
    if field.beside and named[field.beside].fill:
        raise ValueError(f"field {field.beside}: fill: {field.name} is beside it, and has no entry for the fill; leave fill out")


def _check_cross(field: ModelField, named: Mapping[str, ModelField]) -> None:
    parts = sorted(name for name, other in named.items() if other.kind == "id" and (field.side == "item" or other.side == "user"))
    if wrong := [name for name in field.of if name not in parts]:
        side = " of the user's side, as the cross is" if field.side == "user" else ""
        raise ValueError(f"field {field.name}: of: expected id fields{side}, found {', '.join(wrong)}; name two or three of {parts}")
