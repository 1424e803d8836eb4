"""Raw columns -> the canonical columns of one kind of event, and the reason why a row is none."""

from dataclasses import dataclass
from datetime import date

import polars as pl

from components.errors import RawLogError
from components.ingest import instants, scalars
from components.ingest.chunks import Chunk
from components.ingest.files import RawFile
from components.profile import EVENT_KEY, EVENT_TIME, Kind, Profile, Source
from components.tables import Schema, event_schema

REASON = "reason"
_FAULT = "__fault__"
_SHOWN = 80
"""Letters of an unreadable value that a reason repeats."""


@dataclass(frozen=True)
class Target:
    """What the raw rows of one kind and day become."""

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
        """The key's column."""
        return EVENT_KEY[self.kind]

    @property
    def time(self) -> str:
        """The event time's column."""
        return EVENT_TIME[self.kind]

    @property
    def required(self) -> frozenset[str]:
        """Columns without which a row is no event: the key where the profile maps one."""
        return frozenset({"item_id", self.time} | ({self.key} if self.raw_name(self.key) else set()))

    def raw_name(self, column: str) -> str | None:
        """Return the raw column of a canonical or context column; None where the profile maps none."""
        return self.source.columns.get(column, column if column in self.source.context else None)


@dataclass(frozen=True)
class _Column:
    """A canonical column read from a raw one."""

    name: str
    value: pl.Expr
    missing: pl.Expr
    shown: pl.Expr
    """The raw value as text."""
    wrong: tuple[tuple[str, pl.Expr], ...]
    """What may be wrong with a value that is there, and where."""

    def reasons(self, *, required: bool) -> list[pl.Expr]:
        """Return the reason of a row, null where there is none, one expression for each thing that can be wrong."""
        missing = [pl.when(self.missing).then(pl.lit(f"missing {self.name}"))] if required else []
        shown = self.shown.str.slice(0, _SHOWN).fill_null("")
        return [*missing, *(pl.when(where).then(pl.concat_str(pl.lit(f"{what}: '"), shown, pl.lit("'"))) for what, where in self.wrong)]


def typed(chunk: Chunk, target: Target, file: RawFile) -> pl.DataFrame:
    """Return a chunk's rows as the canonical columns, in order, plus `reason`: null where the row is an event.

    Raises RawLogError where a Parquet column has a type that cannot hold what the profile maps it to.
    """
    mapped = {name: raw for name in target.schema if (raw := target.raw_name(name)) is not None}
    columns = [_read(name, raw, chunk.values.schema[raw], target, file) for name, raw in mapped.items()]
    reasons = [reason for column in columns for reason in column.reasons(required=column.name in target.required)]
    known = {column.name: column.value for column in columns}
    values = [known.get(name, pl.lit(None, dtype=dtype)).cast(dtype).alias(name) for name, dtype in target.schema.items()]
    if target.kind != "impressions":
        nobody = known.get("impression_id", pl.lit(None)).is_null() & known.get("user_id", pl.lit(None)).is_null()
        reasons.append(pl.when(nobody).then(pl.lit("missing impression_id and user_id")))
    rows = chunk.values.with_columns(chunk.fault.alias(_FAULT))
    return rows.lazy().select(*values, pl.coalesce(pl.col(_FAULT), *reasons).alias(REASON)).collect()


def _read(name: str, raw: str, dtype: pl.DataType, target: Target, file: RawFile) -> _Column:
    if name == target.time:
        return _read_time(name, raw, dtype, target, file)
    if not scalars.readable(dtype):
        raise _wrong_type(file, raw, "plain values", dtype)
    value = scalars.scalar(raw, dtype, target.schema[name])
    shown = scalars.text(raw, dtype)
    return _Column(name, value, value.is_null(), shown, ((f"bad {name}", scalars.unreadable(raw, dtype, value)),))


def _read_time(name: str, raw: str, dtype: pl.DataType, target: Target, file: RawFile) -> _Column:
    clock = target.profile.clock
    if not instants.readable(dtype, clock):
        written = "timestamps or ISO 8601 text" if clock.unit == "iso" else f"whole numbers of {clock.unit} or timestamps"
        raise _wrong_type(file, raw, written, dtype)
    shown = pl.col(raw).cast(pl.String) if isinstance(dtype, pl.Datetime) else scalars.text(raw, dtype)
    found = instants.instant(raw, dtype, clock, target.day)
    wrong = ((f"bad {name}", found.bad), (f"{name} before 2000", found.early), (f"{name} in the future", found.late))
    return _Column(name, found.value, shown.is_null(), shown, wrong)


def _wrong_type(file: RawFile, raw: str, expected: str, dtype: pl.DataType) -> RawLogError:
    return file.fault(f"{expected} in column {raw!r}", f"type {dtype}", "correct the file, or the profile's columns and clock")
