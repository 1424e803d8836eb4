"""The only reader and writer of tables: Delta Lake, partitioned by day, a day replaced in one commit.

Every table is created empty before anything writes: with a table absent, concurrent first writers of a day would all append.
"""

import hashlib
import random
import time
from datetime import date

import polars as pl
from deltalake import DeltaTable, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from components.profile import Profile
from components.tables import TABLES, Table

_ATTEMPTS = 12
_CHUNK = 1 << 20
_ROWS = 65_536


class Lake:
    """The tables of one data set, under a directory or an `s3://` URI."""

    def __init__(self, uri: str, profile: Profile) -> None:
        """Name the place; nothing is opened or created yet."""
        self.uri = uri.rstrip("/")
        self.profile = profile

    def location(self, table: Table) -> str:
        """Return the directory or URI of a table."""
        return f"{self.uri}/{table.name}"

    def create(self) -> None:
        """Create every table that does not exist, empty and with its schema. Safe to call from many processes."""
        for table in TABLES:
            empty = pl.DataFrame(schema=table.schema(self.profile)).to_arrow(compat_level=pl.CompatLevel.oldest())
            schema = Schema.from_arrow(empty.schema)
            DeltaTable.create(self.location(table), schema, mode="ignore", partition_by=list(table.partition))

    def scan(self, table: Table, first: date, last: date | None = None) -> pl.LazyFrame:
        """Read the days from `first` through `last` (default: `first` alone), all columns, in no promised order."""
        within = pl.col(table.day).is_between(first, last or first)
        return pl.scan_delta(self._open(table)).select(list(table.schema(self.profile))).filter(within)

    def replace(self, table: Table, day: date, rows: pl.LazyFrame, *, kind: str | None = None) -> int:
        """Replace one day (of one `kind`, for a table partitioned by kind too) by `rows`, in one commit; return the version.

        `rows` has the table's columns without its partition columns, sorted by the caller: same rows, same bytes. Retries when another
        writer commits first, so of several writers of one day the last one stands, whole.
        """
        parts = {table.day: pl.lit(day), **({"kind": pl.lit(kind)} if kind else {})}
        ordered = rows.with_columns(**parts).select(pl.col(name).cast(dtype) for name, dtype in table.schema(self.profile).items())
        predicate = f"{table.day} = '{day}'" + (f" and kind = '{kind}'" if kind else "")
        for attempt in range(_ATTEMPTS):
            try:
                # not sink_delta: it takes the rows in any order, so the bytes differ from run to run
                stream = ordered.collect_batches(chunk_size=_ROWS, maintain_order=True, lazy=True, engine="streaming")
                write_deltalake(self._open(table), stream, mode="overwrite", predicate=predicate)
                return self.version(table)
            except CommitFailedError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0, 0.1 * 2 ** min(attempt, 5)))  # noqa: S311 - jitter, not a secret
        raise AssertionError("unreachable")

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
            return DeltaTable(self.location(table))
        except TableNotFoundError:
            self.create()
            return DeltaTable(self.location(table))


def _paths(table: DeltaTable) -> list[str]:
    """Return the live data files, relative to the table."""
    return [str(path) for path in pl.DataFrame(table.get_add_actions(flatten=True))["path"]]


def _digest(files: DeltaStorageHandler, path: str) -> str:
    digest = hashlib.sha256()
    with files.open_input_stream(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
