"""One kind of raw log of one arrival day -> accepted events, quarantined rows and the accounting of every row."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import polars as pl

from components.errors import RawLogError
from components.ingest import duplicates
from components.ingest.accounting import Accounting
from components.ingest.ahead import work_ahead
from components.ingest.chunks import Chunk
from components.ingest.columns import REASON, Target, typed
from components.ingest.duplicates import CONFLICTING, EXACT, Removed
from components.ingest.files import RawFile, list_files
from components.ingest.formats import read_file
from components.ingest.slices import Slices
from components.ingest.staging import Staging
from components.profile import Kind

_Counts = tuple[int, int, str]
"""Rows read, those unreadable, and a warning."""


@dataclass(frozen=True)
class Ingested:
    """A day of one kind of log, read. The frames read `scratch` when they are collected."""

    accepted: Slices
    """Sorted slices with the columns of `event_schema(kind)`; one row per key, by event time, then key."""
    quarantined: pl.LazyFrame
    """file, row, reason, raw: unreadable rows and conflicting duplicates, by file, then row."""
    accounting: list[Accounting]
    """One per raw file, by name."""
    hours: tuple[int, ...]
    """Accepted events of each UTC hour of the arrival day."""


def read_day(folder: Path, target: Target, *, scratch: Path, chunk_rows: int, file_rows: int) -> Ingested:
    """Read the raw files of one kind that arrived on a day, holding some chunks of `chunk_rows` raw rows at once.

    folder: `<raw>/<kind>/day=<day>`.  scratch: an empty folder that outlives the frames returned; the caller removes it.
    file_rows: rows of a slice of the accepted events at most.
    A row that is no event is quarantined with a reason. A folder that is absent holds no rows, and a warning, where the kind arrived
    on other days and is not the impressions. Raises RawLogError naming the file that cannot be read as a whole, or the folder.
    """
    staging = Staging(scratch / "rows", target)
    present = folder.is_dir()
    files = list_files(folder) if present else []
    counts: list[_Counts] = []
    staging.runs += work_ahead(staging.write, _grouped(_type_files(files, counts, staging, chunk_rows), chunk_rows))
    removed = duplicates.mark_duplicates(staging.runs, target, chunk_rows)
    for number, file in enumerate(files):
        _quarantine_conflicts(number, file, removed.conflicts(number), staging, chunk_rows)
    histogram = list(staging.histogram())
    accepted = Slices(staging.runs, target, histogram, file_rows, chunk_rows)
    accounting = _account(files, counts, staging.accepted(), removed) if present else [_absent(folder, target.kind)]
    return Ingested(accepted, staging.quarantined(), accounting, _hours(histogram, target.day))


def _chunks_of(file: RawFile, staging: Staging, chunk_rows: int) -> Iterator[Callable[[], Chunk]]:
    target = staging.target
    return read_file(file, target.source, target.profile.clock, scratch=staging.folder, chunk_rows=chunk_rows)


def _type_files(files: list[RawFile], counts: list[_Counts], staging: Staging, chunk_rows: int) -> Iterator[pl.DataFrame]:
    """Yield the events of the files, a chunk at a time; keep the unreadable rows, and note both of each file in `counts`."""
    for number, file in enumerate(files):
        rows_in = quarantined = 0
        unseen = {name for name in staging.target.schema if staging.target.raw_name(name)}
        for events, aside in work_ahead(partial(_type_chunk, number, file, staging.target), _chunks_of(file, staging, chunk_rows)):
            rows_in += events.height
            if aside is not None:
                staging.add_unreadable(aside)
                quarantined += aside.height
            unseen = {name for name in unseen if events[name].null_count() == events.height}
            yield events
        renamed = file.format == "ndjson" and rows_in and unseen  # the other formats declare their columns
        keys = ", ".join(sorted(repr(staging.target.raw_name(name)) for name in unseen))
        counts.append((rows_in + quarantined, quarantined, f"no event has a value of {keys}" if renamed else ""))


def _type_chunk(number: int, file: RawFile, target: Target, chunk_of: Callable[[], Chunk]) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return a chunk's events and its unreadable rows; None where it has none."""
    chunk = chunk_of()
    rows = typed(chunk, target, file).with_columns(duplicates.positions(number), duplicates.fingerprint(target))
    if not rows[REASON].count():
        return rows.drop(REASON, "row"), None
    unreadable = rows[REASON].is_not_null()
    aside = rows.filter(unreadable).with_columns(chunk.text(unreadable), pl.lit(file.path.name).alias("file"))
    return rows.filter(~unreadable).drop(REASON, "row"), aside


def _grouped(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Yield the frames put together to at least `rows` rows each, but for the last, so that many small files make few runs."""
    held: list[pl.DataFrame] = []
    for frame in frames:
        held.append(frame)
        if sum(part.height for part in held) >= rows:
            yield pl.concat(held)
            held = []
    if any(part.height for part in held):
        yield pl.concat(held)


def _quarantine_conflicts(number: int, file: RawFile, conflicting: pl.Series, staging: Staging, chunk_rows: int) -> None:
    """Keep a file's conflicting duplicates with their raw text, for which the file is read again; most files have none."""
    if conflicting.is_empty():
        return
    named = pl.lit("conflicting_duplicate").alias(REASON), pl.lit(file.path.name).alias("file"), duplicates.positions(number)
    for chunk_of in _chunks_of(file, staging, chunk_rows):
        chunk = chunk_of()
        where = chunk.rows.is_in(conflicting.implode())
        if where.any():
            staging.add_conflicting(pl.DataFrame([chunk.rows.filter(where), chunk.text(where)]).with_columns(*named))


def _account(files: list[RawFile], counts: list[_Counts], kept: Counter[int], removed: Removed) -> list[Accounting]:
    return [
        Accounting(
            file=file.path.name,
            rows_in=rows_in,
            accepted=kept[at],
            exact_duplicates=removed.counts[at, EXACT],
            conflicting_duplicates=removed.counts[at, CONFLICTING],
            quarantined=quarantined,
            warning=warning,
        )
        for at, (file, (rows_in, quarantined, warning)) in enumerate(zip(files, counts, strict=True))
    ]


def _hours(histogram: list[tuple[int, int]], day: date) -> tuple[int, ...]:
    first = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) // 3600
    hours: Counter[int] = Counter()
    for minute, count in histogram:
        hours[minute // 60 - first] += count
    return tuple(hours[hour] for hour in range(24))


def _absent(folder: Path, kind: Kind) -> Accounting:
    days = sorted(path.name for path in folder.parent.glob("day=*") if path.is_dir())
    found = f"none, though {len(days)} other days from {days[0]} to {days[-1]}" if days else "none on any day"
    if kind == "impressions" or not days:
        raise RawLogError(
            f"{folder}: expected the folder of the day's {kind}, found {found}; wait for the delivery, or correct data.raw or the profile, "
            "then rerun ingest"
        )
    warning = f"no {kind} arrived: the folder is absent ({len(days)} other days have one)"
    return Accounting(f"{folder.name}/", 0, 0, 0, 0, 0, warning)
