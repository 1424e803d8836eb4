"""The only reader and writer of tables: Delta Lake, partitioned by day, a day replaced in one commit.

Every table is created empty before anything writes: with a table absent, concurrent first writers of a day would all append.
"""

import fcntl
import hashlib
import json
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction

from components.errors import SettingsError
from components.profile import Profile
from components.tables import TABLES, Table

_ATTEMPTS = 12
_CHUNK = 1 << 20


class _Table(DeltaTable):
    """A Delta table whose local files are named as they are on disk: deltalake quotes their paths, Polars takes them as they stand."""

    def file_uris(self, *arguments: Any, **options: Any) -> list[str]:
        """Return the live data files; those of a local table under their own names."""
        uris = super().file_uris(*arguments, **options)
        return [unquote(uri) for uri in uris] if self.table_uri.startswith("file://") else uris


class Lake:
    """The tables of one data set, under a directory or an `s3://` URI."""

    def __init__(self, uri: str, profile: Profile) -> None:
        """Name the place; nothing is opened or created yet. Raises SettingsError for one that the libraries would read as a pattern."""
        if wrong := sorted(set(uri) & set("%*?[]")):
            raise SettingsError(
                f"lake {uri}: expected a path without any of %*?[], found {' '.join(wrong)}; choose another home or lake.uri"
            )
        self.uri = uri.rstrip("/")
        self.profile = profile

    def location(self, table: Table) -> str:
        """Return the directory or URI of a table."""
        return f"{self.uri}/{table.name}"

    def create(self) -> None:
        """Create every table that does not exist, empty and with its schema. Safe to call from many processes."""
        for table in TABLES:
            DeltaTable.create(self.location(table), self._schema(table), mode="ignore", partition_by=list(table.partition))

    def _schema(self, table: Table) -> Schema:
        empty = pl.DataFrame(schema=table.schema(self.profile)).to_arrow(compat_level=pl.CompatLevel.oldest())
        return Schema.from_arrow(empty.schema)

    def scan(self, table: Table, first: date, last: date | None = None) -> pl.LazyFrame:
        """Read the days from `first` through `last` (default: `first` alone), all columns, in no promised order."""
        within = pl.col(table.day).is_between(first, last or first)
        return pl.scan_delta(self._open(table)).select(list(table.schema(self.profile))).filter(within)

    def replace(self, table: Table, day: date, rows: pl.LazyFrame, *, kind: str | None = None) -> int:
        """Replace one day (of one `kind`, for a table partitioned by kind too) by `rows`, in one commit; return the version.

        `rows` has the table's columns without its partition columns, sorted by the caller: same rows, same bytes. Retries when another
        writer commits first, so of several writers of one day the last one stands, whole.
        """
        values = {table.day: str(day), **({"kind": kind} if kind else {})}
        path = "/".join([*(f"{name}={value}" for name, value in values.items()), f"{uuid.uuid4()}.parquet"])
        num_rows = self._sink(table, path, rows)
        for attempt in range(_ATTEMPTS):
            try:
                with self._alone(table):
                    opened = self._open(table)
                    opened.create_write_transaction(
                        [self._addition(table, path, values, num_rows)] if num_rows else [],
                        "overwrite",
                        opened.schema(),
                        partition_by=list(table.partition),
                        partition_filters=[(name, "=", value) for name, value in values.items()],
                    )
                return self.version(table)
            except CommitFailedError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0, 0.1 * 2 ** min(attempt, 5)))  # noqa: S311 - jitter, not a secret
        raise AssertionError("unreachable")

    @contextmanager
    def _alone(self, table: Table) -> Iterator[None]:
        """Commit one writer at a time: delta-rs lets two transactions that replace one partition both in. Directories only."""
        if "://" in self.uri:
            yield
            return
        with (Path(self.location(table)) / ".commit.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _sink(self, table: Table, path: str, rows: pl.LazyFrame) -> int:
        """Stream the rows into one Parquet file of the table, which no reader sees yet; return their number.

        Polars writes the file, not delta-rs: that one spreads the rows over the cores in any order, and bytes differ from run to run.
        """
        self._open(table)
        columns = {name: dtype for name, dtype in table.schema(self.profile).items() if name not in table.partition}
        target = f"{self.location(table)}/{path}"
        ordered = rows.select(pl.col(name).cast(dtype) for name, dtype in columns.items())
        ordered.sink_parquet(target, mkdir=True, engine="streaming", maintain_order=True)
        return int(pl.scan_parquet(target).select(pl.len()).collect().item())

    def _addition(self, table: Table, path: str, values: dict[str, str], num_rows: int) -> AddAction:
        with DeltaStorageHandler(self.location(table)).open_input_file(path) as file:
            size = file.size()
        now_ms = int(time.time() * 1000)
        return AddAction(path, size, values, now_ms, data_change=True, stats=json.dumps({"numRecords": num_rows}))

    def days(self, table: Table) -> list[date]:
        """Return the days that hold at least one row, ascending."""
        found = {date.fromisoformat(str(part[table.day])) for part in self._open(table).partitions()}
        return sorted(found)

    def version(self, table: Table) -> int:
        """Return the table's current Delta version."""
        return self._open(table).version()

    def fingerprint(self, table: Table, day: date) -> str:
        """Return a SHA-256 over the bytes of a day's data files: equal bytes, equal fingerprint."""
        opened = self._open(table)
        files = DeltaStorageHandler(self.location(table))
        paths = [path for path in _paths(opened) if f"{table.day}={day}" in path.split("/")]
        return hashlib.sha256("".join(sorted(_digest(files, path) for path in paths)).encode()).hexdigest()

    def _open(self, table: Table) -> DeltaTable:
        try:
            opened = _Table(self.location(table))
        except TableNotFoundError:
            self.create()
            opened = _Table(self.location(table))
        expected, found = ({field.name: str(field.type) for field in schema.fields} for schema in (self._schema(table), opened.schema()))
        if differing := sorted(name for name, _ in expected.items() ^ found.items()):
            raise SettingsError(
                f"{self.location(table)}: expected the columns that the profile declares, found others where it says "
                f"{', '.join(dict.fromkeys(differing))}; the profile changed since: use a new home or lake.uri and rerun from ingest"
            )
        return opened


def _paths(table: DeltaTable) -> list[str]:
    """Return the live data files, relative to the table."""
    return [str(path) for path in pl.DataFrame(table.get_add_actions(flatten=True))["path"]]


def _digest(files: DeltaStorageHandler, path: str) -> str:
    digest = hashlib.sha256()
    with files.open_input_stream(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
