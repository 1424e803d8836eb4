"""Event times as written in the raw logs -> UTC microseconds, as pure Polars expressions.

A time is read in the unit it is written in and compared there first, so that no absurd epoch overflows on the way.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from components.errors import SettingsError
from components.ingest.scalars import integer, text
from components.profile import Clock
from components.tables import INSTANT

_TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_EARLIEST = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_ISO = (
    r"^(?<date>\d{4}-\d{2}-\d{2})[Tt ](?<minute>\d{2}:\d{2})(?<second>:\d{2})?(?:[.,](?<fraction>\d{1,9}))?"
    r" ?(?<offset>[Zz]|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?$"
)


@dataclass(frozen=True)
class Instant:
    """An event time: its value and, where there is none, the reason."""

    value: pl.Expr
    """UTC microseconds; null where `bad`, `early` or `late`."""
    bad: pl.Expr
    early: pl.Expr
    """Before 2000: most often another unit than the clock's."""
    late: pl.Expr
    """At or after the end of the arrival day."""


def readable(dtype: pl.DataType, clock: Clock) -> bool:
    """Tell whether a column of this type can hold event times: a timestamp, ISO text or whole numbers, as the clock says."""
    whole = dtype.is_integer() or dtype.is_float() or isinstance(dtype, pl.Decimal)
    return isinstance(dtype, pl.Datetime | pl.String | pl.Categorical | pl.Enum | pl.Null) or (whole and clock.unit != "iso")


def check_zone(zone: str) -> None:
    """Raise SettingsError where the clock's zone is no IANA zone."""
    try:
        pl.Series([datetime(2000, 1, 1)]).dt.replace_time_zone(zone)  # noqa: DTZ001 - naive, to be given the zone
    except pl.exceptions.ComputeError:
        raise SettingsError(f"profile: clock.zone: expected an IANA zone (Europe/Berlin), found {zone!r}; correct the profile") from None


def instant(name: str, dtype: pl.DataType, clock: Clock, day: date) -> Instant:
    """Return the event time in raw column `name`; times before 2000, or at or after the end of the UTC day `day`, have no value."""
    ticks, unit = _ticks(name, dtype, clock)
    scale = _TICKS[unit]
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    early, late = ticks < _EARLIEST * scale, ticks >= int(end.timestamp()) * scale
    plausible = pl.when(~early & ~late).then(ticks)
    micros = plausible // 1_000 if unit == "ns" else plausible * (_TICKS["us"] // scale)
    present = text(name, dtype).is_not_null() if not isinstance(dtype, pl.Datetime) else pl.col(name).is_not_null()
    return Instant(micros.cast(INSTANT), present & ticks.is_null(), early.fill_null(False), late.fill_null(False))


def _ticks(name: str, dtype: pl.DataType, clock: Clock) -> tuple[pl.Expr, str]:
    """Return the whole number of units since 1970 UTC, null where unreadable, and the unit."""
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone or clock.zone == "UTC":
            return pl.col(name).to_physical(), dtype.time_unit
        return _local(pl.col(name).cast(pl.Datetime("us")), clock.zone), "us"
    if clock.unit == "iso":
        return _iso(text(name, dtype).str.strip_chars(), clock.zone), "us"
    return integer(name, dtype, pl.Int64), clock.unit


def _iso(written: pl.Expr, zone: str) -> pl.Expr:
    parts = written.str.extract_groups(_ISO).struct
    second = parts.field("second").fill_null(":00")
    clock_time = pl.concat_str(parts.field("date"), pl.lit(" "), parts.field("minute"), second)
    naive = clock_time.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
    fraction = parts.field("fraction").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64).fill_null(0)
    offset = parts.field("offset")
    whole = pl.when(offset.is_null()).then(_local(naive, zone)).otherwise(naive.to_physical() - _offset(offset) * 60_000_000)
    return whole + fraction


def _offset(offset: pl.Expr) -> pl.Expr:
    """Return the minutes east of UTC of `Z`, `+08`, `+0800` or `+08:00`."""
    digits = offset.str.replace_all(r"\D", "").str.pad_end(4, "0").cast(pl.Int64, strict=False)
    return (digits // 100 * 60 + digits % 100) * pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)


def _local(naive: pl.Expr, zone: str) -> pl.Expr:
    """Return the UTC microseconds of a zone's clock time: the earlier of two in the autumn, null in the gap of the spring."""
    return naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").to_physical()
