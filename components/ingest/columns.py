"""Raw columns -> the canonical columns of one kind of event, and the reason why a row is none."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import polars as pl

from components.ingest import instants, scalars
from components.ingest.chunks import Chunk
from components.ingest.files import RawFile
from components.profile import EVENT_KEY, EVENT_TIME, Kind, Profile, Source
from components.tables import Schema, event_schema

REASON = "reason"
_UNREADABLE: Schema = {"row": pl.Int64(), REASON: pl.String()}
_FEW = 50
"""Rows that are left out one by one."""
_FAULT = "__fault__"
_ROW = "__row__"
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
    shown: pl.Expr
    """The raw value as text, null where it is missing."""
    wrong: tuple[tuple[str, pl.Expr], ...]
    """What may be wrong with a value that is there, and where."""

    def faults(self, *, required: bool) -> list[tuple[pl.Expr, pl.Expr]]:
        """Return (where, reason) of all that can be wrong."""
        missing = [(self.shown.is_null(), pl.lit(f"missing {self.name}"))] if required else []
        shown = self.shown.str.slice(0, _SHOWN)
        return [*missing, *((where, pl.concat_str(pl.lit(f"{what}: '"), shown, pl.lit("'"))) for what, where in self.wrong)]


def typed(chunk: Chunk, target: Target, file: RawFile) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return a chunk's events, as the canonical columns plus `row`, and the `row` and `reason` of its rows that are none; both in order.

    Most rows are read at once; those that this leaves in doubt are read exactly, one reason at a time.
    Raises RawLogError where a column has a type that cannot hold what the profile maps it to.
    """
    _check_types(chunk, target, file)
    rows, doubtful = _read_at_once(chunk, target)
    if not doubtful.any():
        return rows, pl.DataFrame(schema=_UNREADABLE)
    exact = _read_exactly(chunk.only(doubtful), target)
    events, at_once = exact.filter(pl.col(REASON).is_null()).drop(REASON), _without(rows, doubtful)
    if events.height:
        at_once = pl.concat([at_once, events]).sort("row")
    return at_once, exact.filter(pl.col(REASON).is_not_null()).select("row", REASON)


def _without(rows: pl.DataFrame, doubtful: pl.Series) -> pl.DataFrame:
    """Return the rows that are not in doubt, not copied where few are."""
    if doubtful.sum() > _FEW:
        return rows.filter(~doubtful)
    bounds = [-1, *doubtful.arg_true(), rows.height]
    return pl.concat(rows[first + 1 : last] for first, last in pairwise(bounds))


def _read_at_once(chunk: Chunk, target: Target) -> tuple[pl.DataFrame, pl.Series]:
    """Return the typed rows as if all were events, and those where something is missing, wrong, or not to be read in this way."""
    raw = {name: found for name in target.schema if (found := target.raw_name(name)) is not None}
    values = {
        name: instants.plain(chunk.values[found], target.profile.clock, target.day)
        if name == target.time
        else scalars.plain(chunk.values[found], target.schema[name])
        for name, found in raw.items()
    }
    nothing = pl.lit(None)
    read = chunk.values.lazy().select(values.get(name, nothing).cast(dtype).alias(name) for name, dtype in target.schema.items()).collect()
    doubtful = chunk.doubtful if chunk.doubtful is not None else pl.repeat(False, chunk.height, eager=True)
    if chunk.fault is not None:
        doubtful |= chunk.fault.is_not_null()
    for name, found in raw.items():
        if read[name].null_count() and name in target.required:
            doubtful |= read[name].is_null()
        elif read[name].null_count():
            doubtful |= read[name].is_null() & scalars.present(chunk.values[found])
    if target.kind != "impressions":
        nobody = [read[name].is_null() for name in ("impression_id", "user_id") if name in raw]
        doubtful |= pl.select(pl.all_horizontal(*nobody, pl.repeat(True, chunk.height))).to_series()
    return read.with_columns(chunk.rows), doubtful


def _read_exactly(chunk: Chunk, target: Target) -> pl.DataFrame:
    time = target.source.columns[target.time]
    fault = chunk.rows.clear().cast(pl.String).extend_constant(None, chunk.height) if chunk.fault is None else chunk.fault
    rows = chunk.values.lazy().with_columns(fault.alias(_FAULT), chunk.rows.alias(_ROW))
    rows, unit = instants.add_ticks(rows, time, chunk.values.schema[time], target.profile.clock)
    columns = list(_columns(chunk, target, unit))
    faults = [(pl.col(_FAULT).is_not_null(), pl.col(_FAULT))]
    faults += [fault for column in columns for fault in column.faults(required=column.name in target.required)]
    if target.kind != "impressions":
        known = {column.name: column.shown for column in columns}
        nobody = [known[name].is_null() for name in ("impression_id", "user_id") if name in known]
        faults.append((pl.all_horizontal(*nobody, True), pl.lit("missing impression_id and user_id")))
    values = {column.name: column.value for column in columns}
    events = [values.get(name, pl.lit(None)).cast(dtype).alias(name) for name, dtype in target.schema.items()]
    reason = pl.coalesce(pl.when(where).then(reason) for where, reason in faults)
    return rows.select(*events, pl.col(_ROW).alias("row"), reason.alias(REASON)).collect()


def _check_types(chunk: Chunk, target: Target, file: RawFile) -> None:
    time, clock = target.source.columns[target.time], target.profile.clock
    iso = "timestamps or ISO 8601 text"
    for raw, dtype in chunk.values.schema.items():
        expected = "plain values"
        if raw == time:
            expected = iso if clock.unit == "iso" else f"whole numbers of {clock.unit} or timestamps"
        if not (instants.readable(dtype, clock) if raw == time else scalars.readable(dtype)):
            raise file.fault(f"{expected} in column {raw!r}", f"type {dtype}", "correct the file, or the profile's columns and clock")


def _columns(chunk: Chunk, target: Target, unit: str) -> Iterator[_Column]:
    """Name what becomes of each column that the profile maps. The time is read from TICKS, in `unit`."""
    for name, wanted in target.schema.items():
        raw = target.raw_name(name)
        if raw is None:
            continue
        dtype = chunk.values.schema[raw]
        shown = pl.col(raw).cast(pl.String) if isinstance(dtype, pl.Datetime) else scalars.text(raw, dtype)
        if name == target.time:
            ticks = pl.col(instants.TICKS)
            early, late = instants.early(ticks, unit), instants.late(ticks, unit, target.day)
            bad = shown.is_not_null() & ticks.is_null()
            wrong = ((f"bad {name}", bad), (f"{name} before 2000", early), (f"{name} in the future", late))
            yield _Column(name, instants.instant(ticks, unit, target.day), shown, wrong)
        else:
            value = scalars.scalar(raw, dtype, wanted)
            what = f"bad {name}"
            if wanted == pl.String:
                what = f"{name} not exact as a float" if dtype.is_float() else f"{name} of more than {scalars.MAX_TEXT} bytes"
            yield _Column(name, value, shown, ((what, scalars.unreadable(raw, dtype, value)),))
