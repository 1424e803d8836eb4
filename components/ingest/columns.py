"""Raw columns -> the canonical columns of one kind of event, and the reason why a row cannot be one."""

from dataclasses import dataclass
from datetime import date

import polars as pl

from components.ingest.chunks import Chunk
from components.ingest.files import RawFile
from components.ingest.instants import instant
from components.ingest.instants import readable as readable_time
from components.ingest.scalars import readable, scalar, text, unreadable
from components.profile import EVENT_KEY, EVENT_TIME, Kind, Profile, Source
from components.tables import Schema, event_schema, type_

REASON = "reason"
_SHOWN = 80
"""Letters of an unreadable value that a reason repeats."""
_REQUIRED = ("item_id",)
_OPTIONAL_KEYS = ("click_id", "action_id")


@dataclass(frozen=True)
class Target:
    """What raw rows of one kind become."""

    kind: Kind
    day: date
    profile: Profile

    @property
    def source(self) -> Source:
        """How the kind is written."""
        found: Source = getattr(self.profile, self.kind)
        return found

    @property
    def schema(self) -> Schema:
        """Canonical columns and types."""
        return event_schema(self.kind, self.profile)

    @property
    def key(self) -> str:
        """The key column."""
        return EVENT_KEY[self.kind]

    @property
    def time(self) -> str:
        """The event time's column."""
        return EVENT_TIME[self.kind]

    @property
    def required(self) -> frozenset[str]:
        """Columns without which a row is no event."""
        key = () if self.key in _OPTIONAL_KEYS else (self.key,)
        return frozenset((*_REQUIRED, self.time, *key))

    def raw_name(self, column: str) -> str | None:
        """Return the raw column of a canonical or context column; None where the profile maps none."""
        return self.source.columns.get(column, column if column in self.source.context else None)


def typed(chunk: Chunk, target: Target, file: RawFile) -> pl.DataFrame:
    """Return a chunk's rows as the canonical columns, in order, plus `reason`: null where the row is an event.

    Raises RawLogError where a Parquet column has a type that cannot hold what the profile maps it to.
    """
    values, faults = [], [pl.lit(chunk.fault)]
    for column, dtype in target.schema.items():
        raw = target.raw_name(column)
        if raw is None:
            values.append(pl.lit(None, dtype=dtype).alias(column))
            continue
        value, fault = _column(raw, chunk.values.schema[raw], column, dtype, target, file)
        values.append(value.alias(column))
        faults.append(fault)
    typed = chunk.values.select(*values, pl.coalesce(faults).alias(REASON)) if chunk.height else None
    assert typed is not None
    return typed
