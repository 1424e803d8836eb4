"""The only reader and writer of tables: Delta Lake, partitioned by day, a day replaced in one commit.

Every table is created empty before anything writes: with a table absent, concurrent first writers of a day would all append.
"""

import hashlib
import io
import json
import logging
import math
import random
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import date, timedelta

import polars as pl
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction, RemoveAction

from components.data_files import DataFile, Draft, Stored, Widened
from components.disk import saying_if_full
from components.errors import DataError, SettingsError
from components.profile import Profile
from components.splice import Part, can_splice, splice
from components.tables import CONTEXTUAL, TABLES, Table

log = logging.getLogger("esmm")
_ATTEMPTS = 40
_EXACT = CommitProperties(max_commit_retries=0)
"""A commit stands only on the version that it has seen. Else delta-rs rebases it: two writers of one day both get in, or two CREATEs."""
_CHUNK = 1 << 20
_ROW_GROUP = 131_072
"""Rows of a Parquet row group: fixed, so that bytes hang on the rows alone and not on the number of threads."""
_ONE_PAGE = 1 << 30
"""Bytes of a page of a table with lists: Polars cuts those of a list by how the batches come, and equal rows would have other bytes."""
_PROPERTIES = {"delta.enableExpiredLogCleanup": "false", "delta.deletedFileRetentionDuration": "interval 36500 days"}
"""Only `vacuum` forgets anything: a version can be read as long as the files of the days asked for are there."""


class Lake:
    """The tables of one data set, under a directory or an `s3://` URI."""

    def __init__(self, uri: str, profile: Profile) -> None:
        """Name the place; nothing is opened or created yet. Raises SettingsError for one that the libraries would read otherwise."""
        if wrong := sorted(set(uri) & set("%*?[]=")):
            raise SettingsError(
                f"lake {uri}: expected a path without any of %*?[]=, found {' '.join(wrong)}; choose another home or lake.uri"
            )
        self.uri = uri.rstrip("/")
        self.profile = profile

    def location(self, table: Table) -> str:
        """Return the directory or URI of a table."""
        return f"{self.uri}/{table.name}"

    def create(self) -> None:
        """Create every table that does not exist, empty and with its schema. Safe to call from many processes."""
        for table in TABLES:
            with suppress(CommitFailedError):  # another process has just created it
                DeltaTable.create(
                    self.location(table),
                    self._schema(table),
                    mode="ignore",
                    partition_by=list(table.partition),
                    configuration=dict(_PROPERTIES),
                    commit_properties=_EXACT,
                )

    def _schema(self, table: Table) -> Schema:
        empty = pl.DataFrame(schema=table.schema(self.profile)).to_arrow(compat_level=pl.CompatLevel.oldest())
        return Schema.from_arrow(empty.schema)

    def scan(self, table: Table, first: date, last: date | None = None, *, version: int | None = None) -> pl.LazyFrame:
        """Read the days from `first` through `last` (default: `first` alone), all columns, each day's rows in the order written.

        `version`: as of that commit (default: the newest). Raises DataError where its log or files were vacuumed.
        """
        stored = self._live(table, first, last or first, version)
        if version is not None:
            self._check_present(table, f"version {version}", stored.names)
        return self.read(stored)

    def stored(self, table: Table, first: date, last: date | None = None) -> dict[date, Stored]:
        """Return the data files of each day from `first` through `last` (default: `first` alone), all as of one commit; for `read`."""
        live, days = self._live(table, first, last or first), range(((last or first) - first).days + 1)
        within = {first + timedelta(days=number): f"{table.day}={first + timedelta(days=number)}/" for number in days}
        return {day: Stored(table, tuple(file for file in live.files if file.path.startswith(folder))) for day, folder in within.items()}

    def read(self, stored: Stored) -> pl.LazyFrame:
        """Read data files, all columns, in their order."""
        table, schema = stored.table, stored.table.schema(self.profile)
        if not stored.files:
            return pl.LazyFrame(schema=schema)
        files, partition = [f"{self.location(table)}/{path}" for path in stored.names], {name: schema[name] for name in table.partition}
        written = {name: dtype for name, dtype in schema.items() if name not in partition}
        rows = pl.scan_parquet(
            files,
            schema=written,
            hive_partitioning=True,
            hive_schema=partition,
            missing_columns="insert",  # a context column that the profile did not have yet
            extra_columns="ignore",  # one that it has no more
        )
        return rows.select(list(schema))

    def _live(self, table: Table, first: date, last: date, version: int | None = None) -> Stored:
        """Return the data files of the days `first` through `last`, by day and then in the order written."""
        files = pl.DataFrame(self._open(table, version).get_add_actions(flatten=True))
        if files.is_empty():
            return Stored(table, ())
        within = files.filter(pl.col(f"partition.{table.day}").is_between(first, last)).sort("path")
        return Stored(table, tuple(DataFile(*file) for file in within.select("path", "size_bytes", "num_records").iter_rows()))

    def replace(self, table: Table, day: date, rows: pl.LazyFrame | Iterable[pl.LazyFrame | Widened], *, kind: str | None = None) -> int:
        """Replace one day (of one `kind`, for a table partitioned by kind too) by `rows`, in one commit; return that commit's version."""
        return self.commit(self.write(table, day, rows, kind=kind))

    def write(
        self,
        table: Table,
        day: date,
        rows: pl.LazyFrame | Iterable[pl.LazyFrame | Widened],
        *,
        kind: str | None = None,
        beside: Stored | None = None,
    ) -> Draft:
        """Write rows of one day of a table to files that no reader sees before `commit`.

        `rows` has the table's columns without its partition columns, sorted by the caller: same rows, same bytes. Several frames become
        one file each, and the next is asked for when the last is written. On a failure what was written is taken away.
        beside: the stored day that `Widened` rows are of. Where a file of it holds just a frame's rows, its pages are copied and only the
        other columns are encoded: the same bytes.

        Polars writes the files, not delta-rs: that one spreads the rows over the cores in any order, and bytes differ from run to run.
        """
        frames = [rows] if isinstance(rows, pl.LazyFrame) else rows
        return self.write_numbered(table, day, enumerate(frames), stem=str(uuid.uuid4()), kind=kind, beside=beside)

    def write_numbered(
        self,
        table: Table,
        day: date,
        rows: Iterable[tuple[int, pl.LazyFrame | Widened]],
        *,
        stem: str,
        kind: str | None = None,
        beside: Stored | None = None,
    ) -> Draft:
        """Write frames as `write` does, each to a file that stands at its number among all those of one `stem`, whoever writes them.

        A name has its writer too: one that was thought dead cannot write into the files of the one that took its place.
        """
        self._open(table)
        writer = uuid.uuid4().hex[:8]
        values = {table.day: str(day), **({"kind": kind} if kind else {})}
        files = DeltaStorageHandler(self.location(table))
        folder = "/".join(f"{name}={value}" for name, value in values.items())
        drafted: list[DataFile] = []
        with _undoing(files) as written, saying_if_full(self.uri):
            for number, frame in rows:
                written.append(f"{folder}/{stem}-{number:05}-{writer}.parquet")
                if num_rows := self._place(table, written[-1], frame, beside):
                    drafted.append(DataFile(written[-1], _size(files, written[-1]), num_rows))
                else:
                    files.delete_file(written.pop())
        return Draft(table, values, tuple(drafted))

    def gather(self, table: Table, day: date, drafted: Iterable[DataFile]) -> Draft:
        """Return one draft of files that several processes wrote for a day. Raises DataError where one is gone."""
        draft = Draft(table, {table.day: str(day)}, tuple(drafted))
        self._check_present(table, "a draft", [file.path for file in draft.files])
        return draft

    def commit(self, draft: Draft) -> int:
        """Let a draft's files replace the day, in one commit; return its version. Of several writers the last one stands, whole."""
        now_ms = int(time.time() * 1000)
        additions: list[AddAction | RemoveAction] = [
            AddAction(file.path, file.size, dict(draft.values), now_ms, data_change=True, stats=json.dumps({"numRecords": file.num_rows}))
            for file in draft.files
        ]
        for attempt in range(_ATTEMPTS):
            opened = self._open(draft.table)
            try:
                self._add_columns(draft.table, opened)
                seen = opened.version()
                opened.create_write_transaction(
                    additions,
                    "overwrite",
                    opened.schema(),
                    partition_by=list(draft.table.partition),
                    partition_filters=[(name, "=", value) for name, value in draft.values.items()],
                    commit_properties=_EXACT,
                )
                return seen + 1
            except CommitFailedError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 5)))  # noqa: S311 - jitter, not a secret
        raise AssertionError("unreachable")

    def _add_columns(self, table: Table, opened: DeltaTable) -> None:
        """Give a table the context columns that the profile has and it has not, in a commit of their own."""
        known = {field.name for field in opened.schema().fields}
        if new := [field for field in self._schema(table).fields if field.name not in known]:
            opened.alter.add_columns(new, commit_properties=_EXACT)
            log.info("%s: new columns %s, null on earlier days", self.location(table), ", ".join(field.name for field in new))

    def discard(self, draft: Draft) -> None:
        """Delete the files of a draft that nobody will commit."""
        files = DeltaStorageHandler(self.location(draft.table))
        for file in draft.files:
            with suppress(FileNotFoundError):
                files.delete_file(file.path)

    def _place(self, table: Table, path: str, frame: pl.LazyFrame | Widened, beside: Stored | None) -> int:
        """Write one file of the table, as cheaply as its rows can be; return the number of its rows."""
        rows = self._complete(table, frame.rows if isinstance(frame, Widened) else frame)
        file = beside.find(frame.stored) if beside and isinstance(frame, Widened) and frame.stored else None
        if beside and file and (num_rows := self._widen(table, path, rows, f"{beside.table.name}/{file.path}")):
            return num_rows
        return self._sink(f"{self.location(table)}/{path}", rows)

    def _complete(self, table: Table, rows: pl.LazyFrame) -> pl.LazyFrame:
        columns = {name: dtype for name, dtype in table.schema(self.profile).items() if name not in table.partition}
        return rows.select(pl.col(name).cast(dtype) for name, dtype in columns.items())

    def _sink(self, target: str, rows: pl.LazyFrame) -> int:
        nested = any(dtype.is_nested() for dtype in rows.collect_schema().dtypes())
        rows.sink_parquet(
            target,
            mkdir="://" not in target,
            engine="streaming",
            maintain_order=True,
            row_group_size=_ROW_GROUP,
            data_page_size=_ONE_PAGE if nested else None,
        )
        return int(pl.scan_parquet(target).select(pl.len()).collect().item())

    def _widen(self, table: Table, path: str, rows: pl.LazyFrame, stored: str) -> int:
        """Write one file from the pages of a stored one and the columns that it lacks; return its rows, 0 where that cannot be."""
        with DeltaStorageHandler(self.uri).open_input_file(stored) as pages:
            part, like = Part.open(pages), _encode(rows.limit(0))
            lacking = [name for name in rows.collect_schema().names() if name.encode() not in part.elements]
            parts = [part, _encode(rows.select(lacking))]
            if not can_splice(like, parts):
                return 0
            # Through pyarrow, as `open_output_stream` gives it, each write would raise TypeError: it hands on Buffers, not bytes.
            with closing(DeltaStorageHandler(self.location(table))._handler.open_output_stream(path, None)) as target:  # type: ignore[type-var]
                return splice(like, parts, target)

    def vacuum(self, keep: timedelta) -> dict[str, int]:
        """Delete the files that only versions replaced longer ago than `keep` name, and unnamed ones (a killed writer's) as old.

        `keep`, rounded up to hours, must be longer than the longest step: a file being written is known by its age alone. The newest
        state of every day stays. Returns the number of files deleted, table -> number.
        """
        hours = math.ceil(keep / timedelta(hours=1))
        deleted = {}
        for table in TABLES:
            opened = self._open(table)
            deleted[table.name] = len(opened.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True))
        return deleted

    def version(self, table: Table) -> int:
        """Return the table's current Delta version."""
        return self._open(table).version()

    def fingerprint(self, table: Table, day: date, *, version: int | None = None) -> str:
        """Return a SHA-256 over the bytes of a day's data files, in their order: equal bytes, equal fingerprint.

        `version`: as of that commit (default: the newest).
        """
        files = DeltaStorageHandler(self.location(table))
        digests = [_digest(files, path) for path in self._live(table, day, day, version).names]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def _open(self, table: Table, version: int | None = None) -> DeltaTable:
        try:
            opened = DeltaTable(self.location(table), version=version)
        except TableNotFoundError:
            self.create()
            return self._open(table, version)
        except DeltaError as error:
            if version is None:
                raise
            raise self._vacuumed(table, f"version {version}", str(error)) from None
        expected, found = ({field.name: str(field.type) for field in schema.fields} for schema in (self._schema(table), opened.schema()))
        come, gone = expected.keys() - found.keys(), found.keys() - expected.keys()
        free = come & self.profile.context.keys() | gone if table in CONTEXTUAL else set()
        if differing := sorted(name for name, _ in expected.items() ^ found.items() if name not in free):
            raise SettingsError(
                f"{self.location(table)}: expected the columns that the profile declares, found others where it says "
                f"{', '.join(dict.fromkeys(differing))}; the profile changed since: use a new home or lake.uri and rerun from ingest"
            )
        return opened

    def _check_present(self, table: Table, named: str, paths: list[str]) -> None:
        files = DeltaStorageHandler(self.location(table))
        if missing := [info.path for info in files.get_file_info(paths) if not info.is_file]:
            raise self._vacuumed(table, named, f"{len(missing)} of {len(paths)} missing, first {missing[0]}")

    def _vacuumed(self, table: Table, named: str, found: str) -> DataError:
        return DataError(
            f"{self.location(table)}: expected the files of {named}, found {found}; they were vacuumed (or the lake "
            f"replaced): rerun the step that writes {table.name} for the day"
        )


@contextmanager
def _undoing(files: DeltaStorageHandler) -> Iterator[list[str]]:
    """Give a list for the names of files; delete those if what follows fails."""
    written: list[str] = []
    try:
        yield written
    except BaseException:
        for path in written:
            with suppress(FileNotFoundError):
                files.delete_file(path)
        raise


def _encode(rows: pl.LazyFrame) -> Part:
    """Write rows into memory as a data file."""
    file = io.BytesIO()
    rows.sink_parquet(file, engine="streaming", maintain_order=True, row_group_size=_ROW_GROUP)
    return Part.open(file)


def _size(files: DeltaStorageHandler, path: str) -> int:
    with files.open_input_file(path) as file:
        return int(file.size())


def _digest(files: DeltaStorageHandler, path: str) -> str:
    digest = hashlib.sha256()
    with files.open_input_stream(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
