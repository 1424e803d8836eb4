"""One kind of raw log of one arrival day -> accepted events, quarantined rows and the accounting of every row."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Generic, TypeVar

import polars as pl

from components.errors import RawLogError
from components.ingest.accounting import Accounting
from components.ingest.columns import Target
from components.ingest.duplicates import CONFLICTING, EXACT
from components.ingest.files import list_files
from components.ingest.reading import Reading
from components.ingest.reorder import OutOfOrder
from components.ingest.shuffled import Shuffled
from components.ingest.stream import Stream
from components.profile import Kind

Written = TypeVar("Written")
Write = Callable[[Iterable[pl.LazyFrame]], Written]
"""Collects each of the slices before it asks for the next; when that raises, it undoes what it did and raises the same."""
log = logging.getLogger("esmm")


@dataclass(frozen=True)
class Ingested(Generic[Written]):
    """A day of one kind of log, read. `quarantined` reads `scratch` when it is collected."""

    accepted: Written
    """What was made of the sorted slices with the columns of `event_schema(kind)`; one row per key, by event time, then key."""
    quarantined: pl.LazyFrame
    """file, row, reason, raw: unreadable rows and conflicting duplicates, by file, then row."""
    accounting: list[Accounting]
    """One per raw file, by name."""
    hours: tuple[int, ...]
    """Accepted events of each UTC hour of the arrival day."""


@dataclass(frozen=True)
class Day:
    """The raw files of one kind that arrived on a day, and the bounds that they are read in."""

    folder: Path
    """`<raw>/<kind>/day=<day>`."""
    target: Target
    scratch: Path
    """An empty folder that outlives what is returned; the caller removes it."""
    chunk_rows: int
    """Raw rows of a chunk, of which a few are held at once."""
    file_rows: int
    """Rows of a slice of the accepted events at most."""


def read_day(day: Day, write: Write[Written]) -> Ingested[Written]:
    """Read a day's logs as they come, handing slices of accepted events to `write`; again, by sorting, where they are out of order.

    A row that is no event is quarantined with a reason. A folder that is absent holds no rows, and a warning, where the kind arrived
    on other days and is not the impressions. Raises RawLogError naming the file that cannot be read as a whole, or the folder, and
    DataError where rows went astray; both through `write`.
    """
    try:
        return read_in_order(day, write)
    except OutOfOrder as found:
        log.info("%s %s: %s; sorting the day", day.target.kind, day.target.day, found)
    return read_by_sorting(day, write)


def read_in_order(day: Day, write: Write[Written]) -> Ingested[Written]:
    """Read a day as `read_day` does, from files in about the order of time; raises OutOfOrder, through `write`, for others."""
    return _read(day, write, Stream, "stream")


def read_by_sorting(day: Day, write: Write[Written]) -> Ingested[Written]:
    """Read a day as `read_day` does, from files in any order; what is read is staged in `scratch`."""
    return _read(day, write, Shuffled, "runs")


def _read(day: Day, write: Write[Written], way: type[Stream] | type[Shuffled], name: str) -> Ingested[Written]:
    files = list_files(day.folder) if day.folder.is_dir() else []
    absent = [] if files else [_absent(day.folder, day.target.kind)]
    reading = Reading(files, day.target, day.scratch / name / "aside", day.chunk_rows)
    rest: list[tuple[pl.LazyFrame, list[Accounting], tuple[int, ...]]] = []

    def slices() -> Iterator[pl.LazyFrame]:
        """Yield the slices; then, while `write` still undoes what it did if this fails, see that every row is accounted for."""
        found = way(events, day.target, day.scratch / name / "rows", day.chunk_rows, day.file_rows)
        yield from found
        accounting = absent or _account(reading, found)
        for file in accounting:
            file.check()
        rest.append((reading.quarantined(found.removed), accounting, _hours(found.histogram, day.target.day)))

    with closing(reading.events()) as events:
        accepted = write(slices())
    return Ingested(accepted, *rest[0])


def _account(reading: Reading, slices: Stream | Shuffled) -> list[Accounting]:
    return [
        Accounting(
            file=file.path.name,
            rows_in=count.rows_in,
            accepted=slices.accepted[at],
            exact_duplicates=slices.removed.counts[at, EXACT],
            conflicting_duplicates=slices.removed.counts[at, CONFLICTING],
            quarantined=count.quarantined,
            warning=count.warning,
        )
        for at, (file, count) in enumerate(zip(reading.files, reading.counts, strict=True))
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
