"""One kind of raw log of one arrival day -> accepted events, quarantined rows and the accounting of every row."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from components.errors import RawLogError
from components.ingest import duplicates
from components.ingest.accounting import Accounting
from components.ingest.chunks import Chunk
from components.ingest.columns import REASON, Target, typed
from components.ingest.delimited import read_csv
from components.ingest.duplicates import FATE, POSITION
from components.ingest.files import RawFile, list_files, opened
from components.ingest.ndjson import read_ndjson
from components.ingest.parquet import read_parquet
from components.ingest.staging import Staging
from components.profile import Kind, Profile


@dataclass(frozen=True)
class Ingested:
    """A day of one kind of log, read. The frames read `scratch` when they are collected."""

    accepted: pl.LazyFrame
    """Columns of `event_schema(kind)`; one row per key, by event time, then key."""
    quarantined: pl.LazyFrame
    """file, row, reason, raw: unreadable rows and conflicting duplicates, by file, then row."""
    accounting: list[Accounting]
    """One per raw file, by name."""


def read_day(folder: Path, kind: Kind, day: date, *, profile: Profile, scratch: Path, chunk_rows: int) -> Ingested:
    """Read the raw files of one kind that arrived on `day`, holding `chunk_rows` raw rows at once.

    folder: `<raw>/<kind>/day=<day>`.  scratch: an empty folder that outlives the frames returned; the caller removes it.
    A row that is no event is quarantined with a reason. A folder that is absent holds no rows, and a warning, where the kind arrived
    on other days and is not the impressions. Raises RawLogError naming the file that cannot be read as a whole, or the folder.
    """
    target = Target(kind, day, profile)
    staging = Staging(scratch / "rows", target)
    staging.open()
    if not folder.is_dir():
        return Ingested(_ordered(staging.typed(), target), staging.quarantined(), [_absent(folder, kind)])
    files = list_files(folder)
    counts = [_type_file(number, file, staging, chunk_rows) for number, file in enumerate(files)]
    removed = duplicates.find_duplicates(staging.typed(), target)
    for number, file in enumerate(files):
        _quarantine_conflicts(file, duplicates.of_file(removed, number), staging, chunk_rows)
    accepted = staging.typed().join(removed.lazy(), on=POSITION, how="anti")
    return Ingested(_ordered(accepted, target), staging.quarantined(), _account(files, counts, accepted, removed))


def _chunks(file: RawFile, staging: Staging, chunk_rows: int) -> Iterator[Chunk]:
    source = staging.target.source
    if file.format == "parquet":
        yield from read_parquet(file, source, chunk_rows, staging.folder)
        return
    with opened(file) as stream:
        yield from (read_csv if file.format == "csv" else read_ndjson)(file, stream, source, chunk_rows)


def _type_file(number: int, file: RawFile, staging: Staging, chunk_rows: int) -> tuple[int, int]:
    """Write a file's events and unreadable rows; return the number of rows read and of those unreadable."""
    rows_in = quarantined = 0
    for chunk in _chunks(file, staging, chunk_rows):
        rows = typed(chunk, staging.target, file).with_columns(chunk.rows())
        events = rows.filter(pl.col(REASON).is_null()).with_columns(duplicates.positions(number), duplicates.fingerprint(staging.target))
        staging.add_typed(events.drop(REASON, "row"))
        unreadable = rows[REASON].is_not_null()
        if unreadable.any():
            staging.add_quarantined(file.path.name, rows.filter(unreadable).select("row", REASON, chunk.text(unreadable)))
        rows_in, quarantined = rows_in + chunk.height, quarantined + int(unreadable.sum())
    return rows_in, quarantined


def _quarantine_conflicts(file: RawFile, removed: pl.DataFrame, staging: Staging, chunk_rows: int) -> None:
    """Write a file's conflicting duplicates with their raw text, for which the file is read again; most files have none."""
    conflicting = removed.filter(pl.col(FATE) == duplicates.CONFLICTING)["row"]
    if conflicting.is_empty():
        return
    reason = pl.lit("conflicting_duplicate").alias(REASON)
    for chunk in _chunks(file, staging, chunk_rows):
        where = chunk.rows().is_in(conflicting.implode())
        if where.any():
            staging.add_quarantined(file.path.name, pl.DataFrame([chunk.rows().filter(where), chunk.text(where)]).with_columns(reason))


def _ordered(rows: pl.LazyFrame, target: Target) -> pl.LazyFrame:
    """Sort by event time, then key; where rows have none, the other columns decide, so that same rows give the same order."""
    columns = list(target.schema)
    first = [target.time, target.key]
    ties = [] if target.key in target.required else [name for name in columns if name not in first]
    return rows.select(columns).sort(*first, *ties)


def _account(files: list[RawFile], counts: list[tuple[int, int]], accepted: pl.LazyFrame, removed: pl.DataFrame) -> list[Accounting]:
    number = duplicates.file_number().alias("number")
    kept = dict(accepted.group_by(number).len().collect(engine="streaming").iter_rows())
    gone = {(file, fate): total for file, fate, total in removed.group_by(number, FATE).len().iter_rows()}
    return [
        Accounting(
            file=file.path.name,
            rows_in=rows_in,
            accepted=kept.get(at, 0),
            exact_duplicates=gone.get((at, duplicates.EXACT), 0),
            conflicting_duplicates=gone.get((at, duplicates.CONFLICTING), 0),
            quarantined=quarantined,
        )
        for at, (file, (rows_in, quarantined)) in enumerate(zip(files, counts, strict=True))
    ]


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
