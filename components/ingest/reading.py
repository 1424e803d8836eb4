"""The raw files of a day, read once: its events chunk by chunk, and what is no event kept aside and counted."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import polars as pl

from components.ingest.ahead import work_ahead
from components.ingest.aside import Aside
from components.ingest.chunks import Chunk
from components.ingest.columns import REASON, Target, typed
from components.ingest.duplicates import Removed, positions
from components.ingest.files import RawFile
from components.ingest.formats import read_file


@dataclass(frozen=True)
class Count:
    """The rows of one file."""

    rows_in: int
    quarantined: int
    warning: str


@dataclass
class Reading:
    """One reading of the raw files of one kind and day."""

    files: list[RawFile]
    target: Target
    scratch: Path
    """An empty folder, or one to be made."""
    chunk_rows: int
    counts: list[Count] = field(default_factory=list)
    """One for each file, by name, once all were read."""

    def __post_init__(self) -> None:
        """Make the folder."""
        self.aside = Aside(self.scratch)

    def events(self) -> Generator[pl.DataFrame]:
        """Yield the events of the files, a chunk at a time: the target's columns and POSITION; some chunks are typed ahead."""
        declared = {name for name in self.target.schema if self.target.raw_name(name)}
        accepted, quarantined, unseen = Counter[int](), Counter[int](), [declared] * len(self.files)
        for number, events, aside in work_ahead(partial(_type_chunk, self), self._all_chunks()):
            accepted[number] += events.height
            if aside is not None:
                self.aside.add_unreadable(aside)
                quarantined[number] += aside.height
            unseen[number] = {name for name in unseen[number] if events[name].null_count() == events.height}
            yield events
        for number, file in enumerate(self.files):
            renamed = file.format == "ndjson" and accepted[number]  # the other formats declare their columns
            warning = self._unseen(unseen[number]) if renamed and unseen[number] else ""
            self.counts.append(Count(accepted[number] + quarantined[number], quarantined[number], warning))

    def quarantined(self, removed: Removed) -> pl.LazyFrame:
        """Return file, row, reason and raw text of the unreadable rows and, read from their files again, the conflicting ones."""
        for number, file in enumerate(self.files):
            self._keep_conflicts(number, file, removed.conflicts(number))
        return self.aside.rows()

    def _keep_conflicts(self, number: int, file: RawFile, conflicting: pl.Series) -> None:
        if conflicting.is_empty():
            return
        named = pl.lit("conflicting_duplicate").alias(REASON), pl.lit(file.path.name).alias("file"), positions(number)
        for chunk_of in self._chunks(file):
            chunk = chunk_of()
            where = chunk.rows.is_in(conflicting.implode())
            if where.any():
                self.aside.add_conflicting(pl.DataFrame([chunk.rows.filter(where), chunk.text(where)]).with_columns(*named))

    def _unseen(self, names: set[str]) -> str:
        return f"no event has a value of {', '.join(sorted(repr(self.target.raw_name(name)) for name in names))}"

    def _all_chunks(self) -> Iterator[tuple[int, Callable[[], Chunk]]]:
        for number, file in enumerate(self.files):
            yield from ((number, chunk_of) for chunk_of in self._chunks(file))

    def _chunks(self, file: RawFile) -> Iterator[Callable[[], Chunk]]:
        return read_file(file, self.target.source, self.target.profile.clock, scratch=self.scratch, chunk_rows=self.chunk_rows)


def _type_chunk(reading: Reading, numbered: tuple[int, Callable[[], Chunk]]) -> tuple[int, pl.DataFrame, pl.DataFrame | None]:
    """Return a file's number, the events of a chunk of it, and what the quarantine keeps of its unreadable rows; None where it has none."""
    number, chunk_of = numbered
    chunk, file = chunk_of(), reading.files[number]
    events, unreadable = typed(chunk, reading.target, file)
    events = events.with_columns(positions(number)).drop("row")
    if unreadable.is_empty():
        return number, events, None
    text = chunk.text(chunk.rows.is_in(unreadable["row"].implode()))
    return number, events, unreadable.with_columns(positions(number), text, pl.lit(file.path.name).alias("file"))
