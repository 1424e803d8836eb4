"""What of a day's raw logs has not arrived yet, by what the profile's `[arrival]` asks for.

Names are looked at first: the folder, the marker, a file for each hour. Only where hours are asked for and files are not named by the
hour are the logs read, the time column alone, and each file once: what it held is remembered by its size and time of change.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from components.errors import NotReadyError, RawLogError
from components.ingest import instants
from components.ingest.ahead import work_ahead
from components.ingest.chunks import Chunk
from components.ingest.columns import Target
from components.ingest.files import RawFile, list_files
from components.ingest.formats import read_file
from components.profile import Arrival, Source

Seen = dict[str, dict[str, Any]]
"""File name -> size in bytes, mtime_ns, and the UTC hours of the day in which its events happened."""


@dataclass(frozen=True)
class Look:
    """What one look at a kind's logs found."""

    missing: str
    """Expected and found, as a sentence; empty where nothing is missing."""
    files: Seen
    """For the next look; files that were not read are not in it."""


def require_files(folder: Path, target: Target) -> None:
    """Raise NotReadyError where the names in the folder alone say that the day has not arrived; reads no log."""
    if missing := _missing_names(folder, target):
        raise NotReadyError(f"{target.kind} {target.day}: {missing}; wait for the delivery, then rerun ingest")


def require_hours(folder: Path, target: Target, events: Sequence[int]) -> None:
    """Raise NotReadyError where an hour that is asked for has no event. events: those accepted in each UTC hour of the day."""
    arrival = _arrival(target)
    absent = [hour for hour in arrival.needed_hours if not events[hour]]
    if absent and not arrival.files:
        missing = _missing_hours(folder, arrival, absent, "events")
        raise NotReadyError(f"{target.kind} {target.day}: {missing}; wait for the delivery, then rerun ingest")


def look(folder: Path, target: Target, seen: Seen, *, scratch: Path, chunk_rows: int) -> Look:
    """Say what of one kind's logs of a day is missing.

    folder: `<raw>/<kind>/day=<day>`.  seen: the `files` of the look before, read again only where they changed.  scratch: an empty
    folder, for unpacking.  A file that cannot be read, perhaps because it is still being written, is missing too.
    """
    missing, arrival = _missing_names(folder, target), _arrival(target)
    if missing or not folder.is_dir():
        return Look(missing, seen)
    try:
        files = list_files(folder)
        if arrival.files or not arrival.hours:
            return Look("", {})
        read = {file.path.name: _remembered(file, target, seen, scratch, chunk_rows) for file in files}
    except RawLogError as error:
        return Look(str(error), seen)
    happened = {hour for file in read.values() for hour in file["hours"]}
    return Look(_missing_hours(folder, arrival, [hour for hour in arrival.needed_hours if hour not in happened], "events"), read)


def _arrival(target: Target) -> Arrival:
    return target.profile.arrival.get(target.kind, Arrival())


def _missing_names(folder: Path, target: Target) -> str:
    """Say which of the folder, the marker and the hours' files is absent. A kind that is not asked for may stay away for a day."""
    arrival = _arrival(target)
    if not folder.is_dir():
        known = any(path.is_dir() for path in folder.parent.glob("day=*"))
        asked = target.kind == "impressions" or target.kind in target.profile.arrival or not known
        return f"expected the folder {folder}, found none{'' if known else ' on any day'}" if asked else ""
    if arrival.marker and not (folder / arrival.marker).is_file():
        return f"expected the marker {folder / arrival.marker}, found none"
    if not arrival.files:
        return ""
    absent = [hour for hour in arrival.needed_hours if not any(folder.glob(arrival.files.replace("{hour}", f"{hour:02}")))]
    return _missing_hours(folder, arrival, absent, f"files {arrival.files}")


def _missing_hours(folder: Path, arrival: Arrival, absent: list[int], what: str) -> str:
    hours = ", ".join(f"{hour:02}" for hour in absent)
    return f"{folder}: expected {what} for the UTC hours {arrival.hours}, found none for {hours}" if absent else ""


def _remembered(file: RawFile, target: Target, seen: Seen, scratch: Path, chunk_rows: int) -> dict[str, Any]:
    """Return the size, mtime_ns and hours of a file; read only where the first two are not those seen."""
    status = file.path.stat()
    now = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    known = seen.get(file.path.name, {})
    if {name: known.get(name) for name in now} == now:
        return known
    return {**now, "hours": sorted(_hours(file, target, scratch, chunk_rows))}


def _hours(file: RawFile, target: Target, scratch: Path, chunk_rows: int) -> set[int]:
    """Read a file's time column; times that are not of the day or not readable say nothing."""
    name = target.source.columns[target.time]
    start = datetime(target.day.year, target.day.month, target.day.day, tzinfo=UTC)

    def read(chunk_of: Callable[[], Chunk]) -> set[int]:
        chunk = chunk_of()
        if not instants.readable(chunk.values.schema[name], target.profile.clock):
            raise file.fault(f"event times in column {name!r}", f"type {chunk.values.schema[name]}", "correct the file, or the profile")
        return {hour for times in _instants(chunk, name, target) for hour in times.filter(times >= start).dt.hour().unique()}

    source = Source(columns={target.time: name}, delimiter=target.source.delimiter)
    return set().union(*work_ahead(read, read_file(file, source, target.profile.clock, scratch=scratch, chunk_rows=chunk_rows)))


def _instants(chunk: Chunk, name: str, target: Target) -> Iterator[pl.Series]:
    """Yield the times that can be read at once, then the others; null where there is none."""
    clock = target.profile.clock
    at_once = chunk.values.select(instants.plain(chunk.values[name], clock, target.day).alias(name))[name]
    doubtful = at_once.is_null() if chunk.doubtful is None else at_once.is_null() | chunk.doubtful
    yield at_once.filter(~doubtful)
    if doubtful.any():
        exact = chunk.only(doubtful).values
        rows, unit = instants.add_ticks(exact.lazy(), name, exact.schema[name], clock)
        yield rows.select(instants.instant(pl.col(instants.TICKS), unit, target.day).alias(name)).collect()[name]
