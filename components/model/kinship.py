"""What became of a parent's fields and tables in a profile that has changed: which one each is, and whether it still means the same.

A field is that of its own name or, where the profile says so, the one that it `was`. A table is the one that its fields read. Letters: P
pairs of a row now and the row of the parent that it begins as.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from components.model.encoding import Ids, Layout, Origin
from components.model.resizing import pairs, shrinks_to
from components.model_fields import ModelField

_MAY_CHANGE = ("length", "admit_after", "expire_days", "values", "buckets")
"""Keys of a field that leave the meaning of its embeddings as it was."""
_MATCHED = ("name", "was", "column", "table")
"""Those that are compared by what they stand for."""
_HASHED = ("hashed", "a cross", "exact")


@dataclass(frozen=True)
class Kinship:
    """A parent's layout and that of its child, which has yet to take over what the parent learned of its fields (`inherited`)."""

    parent: Layout
    child: Layout

    @cached_property
    def fields(self) -> dict[str, str]:
        """The child's fields that are a field of the parent, name -> name in the parent."""
        named = self.parent.named
        moved = {field.name: field.was for field in self.child.fields if field.was in named and field.name not in named}
        taken = set(moved.values())
        return {name: moved.get(name, name) for name in self.child.named if name in moved or (name in named and name not in taken)}

    @cached_property
    def tables(self) -> dict[str, str]:
        """The child's tables whose fields read a table of the parent, name -> name in the parent."""
        read = {now: (self.child.named[now].vocabulary, self.parent.named[then].vocabulary) for now, then in self.fields.items()}
        owned = [tables for now, tables in read.items() if tables[0] == now]
        return dict([*read.values(), *owned])  # where fields of two tables read one now, it is that of its owner

    def inherited(self) -> "Kinship":
        """Return the same, the child's layout with what it takes over: learned boundaries, the tables' origins, the pool of rows."""
        learned = {now: self.parent.named[then] for now, then in self.fields.items() if self.child.named[now].learned}
        kept = {name: {"boundaries": then.boundaries, "buckets": then.buckets} for name, then in learned.items()}
        rows = {name: self.parent.vocabularies[then.vocabulary] for name, then in learned.items()}
        layout = replace(
            self.child,
            fields=tuple(field.model_copy(update=kept.get(field.name)) for field in self.child.fields),
            vocabularies={name: rows.get(name, own) for name, own in self.child.vocabularies.items()},
            pool=self.parent.pool if self.child.exact else 0,
        )
        hashed = {now: self.parent.origin(then) for now, then in self.tables.items() if _kind(now, layout) in _HASHED}
        origins = tuple(_origin(now, layout.vocabularies[now], then) for now, then in hashed.items())
        return replace(self, child=replace(layout, origins=tuple(each for each in origins if each != layout.origin(each.vocabulary))))

    def differences(self) -> Iterator[str]:
        """Yield what makes a field or a table of the parent mean something else now."""
        for field in self.child.fields:
            if field.was and field.name not in self.fields:
                yield f"field {field.name} was {field.was}, which is none of {', '.join(self.parent.named)}"
        for now, then in self.fields.items():
            yield from self._differences_of_field(self.child.named[now], self.parent.named[then])
        for now, then in self.tables.items():
            yield from self._differences_of_table(now, then)

    def _differences_of_field(self, now: ModelField, then: ModelField) -> Iterator[str]:
        if now.source != then.source and now.was != then.name:
            yield f'field {now.name} column was {then.source}, is {now.source} (was = "{then.name}" says that both hold the same)'
        if self.tables[now.vocabulary] != then.vocabulary:
            yield f"field {now.name} table was {then.vocabulary}, is {now.vocabulary}"
        mine, theirs = _meaning(now), _meaning(then)
        mine.update(of=tuple(self.fields.get(part, "") for part in now.of), beside=self.fields.get(now.beside, ""))
        if now.learned:
            mine["boundaries"] = theirs["boundaries"]
        yield from (f"field {now.name} {key} was {theirs[key]}, is {mine[key]}" for key in mine if mine[key] != theirs[key])

    def _differences_of_table(self, now: str, then: str) -> Iterator[str]:
        mine, theirs = _kind(now, self.child), _kind(then, self.parent)
        if mine != theirs:
            yield f"vocabulary {now} was {theirs}, is {mine}"
        elif mine == "exact" and list(self.tables.values()).count(then) > 1:
            yield f"vocabulary {now} was {then}, as another is: an id of an exact one has one row"

    def rows(self, table: str) -> tuple[Ids, Ids]:
        """Return row_P of a table of the child and row_P of the parent's, without those of the pool; a row that has no pair is fresh."""
        if table not in self.tables:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        then, rows_R = self.tables[table], np.arange(self.child.vocabularies[table])
        were, kind = self.parent.vocabularies[then], _kind(table, self.child)
        if kind in _HASHED:
            return pairs(len(rows_R), were, first=self.parent.origin(then).rows)
        if kind != "declared values":
            return rows_R, np.minimum(rows_R, were - 1)  # the last bucket of numbers was that of all above it
        known = {value: place for place, value in enumerate(self.parent.named[then].values, start=1)}
        return rows_R, np.array([0, *(known.get(value, were - 1) for value in self.child.named[table].values), were - 1])

    def told(self) -> dict[str, Any]:
        """Return what was carried over, fresh and dropped, JSON-able: every field, and the tables that are not as they were."""
        gone = sorted(self.parent.named.keys() - set(self.fields.values()))
        lost = sorted(self.parent.vocabularies.keys() - set(self.tables.values()))
        tables = {name: self._told_of_table(name) for name in self.child.vocabularies}
        return {
            "fields": {**{name: self._told_of_field(name) for name in self.child.named}, **dict.fromkeys(gone, "dropped")},
            "tables": {**{name: told for name, told in tables.items() if told}, **dict.fromkeys(lost, "dropped")},
        }

    def _told_of_field(self, name: str) -> str:
        if name not in self.fields:
            return "fresh"
        now, then = self.child.named[name], self.parent.named[self.fields[name]]
        moved = [f"{key} was {getattr(then, key)}" for key in ("source", "length") if getattr(now, key) != getattr(then, key)]
        return ", ".join([*([f"was {then.name}"] if then.name != name else []), *moved]) or "kept"

    def _told_of_table(self, name: str) -> str:
        if name not in self.tables:
            return "fresh"
        then, rows = self.tables[name], self.child.vocabularies[name]
        were, (now_P, _) = self.parent.vocabularies[then], self.rows(name)
        ids = "ids keep what was learned" if len(now_P) == rows else "rows joined" if len(now_P) else "fresh, as ids are spread anew"
        return ", ".join([*([f"was {then}"] if then != name else []), *([f"{were} rows, {rows} now: {ids}"] if rows != were else [])])


def _meaning(field: ModelField) -> dict[str, Any]:
    return {key: getattr(field, key) for key in ModelField.model_fields if key not in (*_MAY_CHANGE, *_MATCHED)}


def _kind(table: str, layout: Layout) -> str:
    """Return what the rows of a table stand for."""
    owner = layout.named[table]
    if owner.numeric:
        return f"{owner.bucketing} buckets"
    if owner.values:
        return "declared values"
    return "exact" if owner.exact else "a cross" if owner.kind == "cross" else "hashed"


def _origin(table: str, rows: int, then: Origin) -> Origin:
    """Return the origin of a table that was another: fewer rows than when it was new count as new, and so do ids that are spread anew."""
    if rows >= then.rows:
        return replace(then, vocabulary=table)
    return Origin(table, then.name if shrinks_to(rows, first=then.rows) else table, rows)
