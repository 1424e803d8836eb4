"""What the steps are measured against: plain copies by Polars, and the labelling query in DuckDB."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from string import Template
from typing import cast

import polars as pl
import pyarrow.parquet as pq
from deltalake import DeltaTable
from polars._typing import ParquetCompression

from components.lake import Lake
from components.settings import Labels
from components.tables import EVENTS, SAMPLES, Table
from tests.benchmarks.data_logs import CONTEXT

DUCKDB_SET = {"threads": "2", "memory_limit": "'8GB'", "preserve_insertion_order": "false", "TimeZone": "'UTC'"}
"""With 4 GB it ran out of memory at 20 M; insertion order is not what ORDER BY asks for, and keeping it costs memory."""
_COMPARED_ROWS = 1_000_000


def live_files(lake: Lake, table: Table, day: date) -> list[Path]:
    """Return the data files of a day of a table in a directory, in order."""
    files = (Path(uri.removeprefix("file://")) for uri in DeltaTable(lake.location(table)).file_uris())
    return sorted(file for file in files if file.parent.name == f"{table.day}={day}")


def copy_parquet(files: Sequence[Path], target: Path, like: Path) -> None:
    """Write the rows to one file, in order, compressed as `like` is (at Polars' level, which the lake's files have too)."""
    pl.scan_parquet(list(files)).sink_parquet(target, compression=cast(ParquetCompression, _codec(like)))


def copy_text(files: Sequence[Path], target: Path, like: Path) -> None:
    """Read CSV or NDJSON impressions with their types told, instants left as text, and write them as `copy_parquet` does."""
    ids = ("impression_id", "user_id", "item_id", "exposed_at", *CONTEXT)
    overrides: dict[str, type[pl.DataType]] = {**dict.fromkeys(ids, pl.String), "position": pl.Int32, "price": pl.Float64}
    read = pl.scan_csv if ".csv" in files[0].suffixes else pl.scan_ndjson
    read(list(files), schema_overrides=overrides).sink_parquet(target, compression=cast(ParquetCompression, _codec(like)))


def label_in_duckdb(lake: Lake, day: date, target: Path, windows: Labels, *, ordered: bool) -> None:
    """Write the samples of `day`, labelled through its end, to one file; by exposed_at and impression_id, or in any order.

    The day's keys are unique, as ingest leaves them, so the query has no need to look for repeats over several arrival days.
    """
    import duckdb

    start = datetime.combine(day, time(), UTC)
    microsecond = timedelta(microseconds=1)
    query = Template(Path(__file__).with_name("data_label.sql").read_text(encoding="utf-8")).substitute(
        click_us=windows.click_window // microsecond,
        conversion_us=windows.conversion_window // microsecond,
        start=start.isoformat(),
        through=(start + timedelta(days=1)).isoformat(),
        order="ORDER BY exposed_at, impression_id" if ordered else "",
        target=target,
        compression=_codec(live_files(lake, EVENTS["impressions"], day)[0]),
    )
    with duckdb.connect(config={"temp_directory": str(target.with_suffix(".spill"))}) as connection:
        for name, value in DUCKDB_SET.items():
            connection.execute(f"SET {name} = {value}")
        for kind in ("impressions", "clicks", "purchases"):
            files = ", ".join(f"'{file}'" for file in live_files(lake, EVENTS[kind], day))
            connection.execute(f"CREATE VIEW {kind} AS FROM read_parquet([{files}], hive_partitioning = false)")
        connection.execute(query)


def count_differences(lake: Lake, day: date, other: Path) -> int:
    """Compare the samples of `day` with another file of them row by row, in order; return the number of rows that differ."""
    ours, theirs = lake.scan(SAMPLES, day).drop(SAMPLES.day), pl.scan_parquet(other)
    rows = [frame.select(pl.len()).collect().item() for frame in (ours, theirs)]
    differing = abs(rows[0] - rows[1])
    for first in range(0, min(rows), _COMPARED_ROWS):
        left, right = (frame.slice(first, min(_COMPARED_ROWS, min(rows) - first)).collect(engine="streaming") for frame in (ours, theirs))
        if left.equals(right.select(left.columns)):
            continue
        alike = [left[name].eq_missing(right[name]) for name in left.columns]
        differing += left.height - int(pl.select(pl.all_horizontal(alike)).to_series().sum())
    return int(differing)


def _codec(file: Path) -> str:
    return str(pq.ParquetFile(file).metadata.row_group(0).column(0).compression).lower()
