"""Publishing a day's features: offline always, online unless the store holds a newer day.

After a publish the online store holds exactly the day's snapshot: what training will see for the next day.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from components.publish.offline import sink, write_snapshot
from components.publish.store import open_store, register
from components.publish.views import View, online_folder, views_of
from components.publish.watermark import Watermark, exclusive, read_watermark, write_watermark
from components.settings import Settings
from components.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureStore


@dataclass(frozen=True)
class Published:
    """What one publish wrote."""

    day: date
    offline_rows: dict[str, int]
    """View -> rows of the snapshot."""
    online_rows: dict[str, int]
    """View -> rows written online; empty where online was skipped."""
    emptied_rows: dict[str, int]
    """View -> keys that were online, left the snapshot, and now answer "not found"."""
    online: bool
    reason: str
    """Why online was written or skipped."""


def publish_day(day: date, features: Mapping[Table, pl.LazyFrame], *, settings: Settings) -> Published:
    """Write a day's features to Feast, one publish at a time per home.

    features: by table, one row per key, the table's columns (`day` may be absent); event_timestamp is the end of the day. A table
    without a view in the data set is left out. Rerunning a day, also after a kill, leaves the same snapshot and online values. A day
    older than any day of which a row may be online is written offline only.
    """
    frames = {view: features[view.table] for view in views_of(settings.profile)}
    with exclusive(settings.root):
        snapshots = {view: write_snapshot(frame, view=view, day=day, root=settings.root) for view, frame in frames.items()}
        offline = {view.name: count_rows(path) for view, path in snapshots.items()}
        mark = read_watermark(settings.root)
        if mark.newest is not None and day < mark.newest:
            return Published(day, offline, {}, {}, online=False, reason=_why_skipped(day, mark))
        online, emptied = _write_online(day, snapshots, mark, settings=settings)
        return Published(day, offline, online, emptied, online=True, reason=f"online held {mark.day or 'nothing'}")


def count_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file."""
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())


def _why_skipped(day: date, mark: Watermark) -> str:
    if mark.newest == mark.day:
        return f"online holds {mark.day}, which is newer than {day}"
    return f"a publish of {mark.writing}, newer than {day}, was cut short; run `esmm publish {mark.writing}`"


def _write_online(day: date, snapshots: dict[View, Path], mark: Watermark, *, settings: Settings) -> tuple[dict[str, int], dict[str, int]]:
    """Write the rows, empty the keys that left, and only then move the watermark; returns rows written and emptied per view."""
    root, chunk_rows = settings.root, settings.publish.write_rows
    store = open_store(settings)
    register(store, settings)
    write_watermark(root, Watermark(day=mark.day, writing=day))
    online, emptied = {}, {}
    for view, snapshot in snapshots.items():
        _remember_keys(view, snapshot, root=root)
        gone = _write_gone(view, snapshot, day=day, root=root)
        online[view.name] = _write_rows(store, view, snapshot, chunk_rows=chunk_rows)
        emptied[view.name] = _write_rows(store, view, gone, chunk_rows=chunk_rows)
        gone.unlink()
    write_watermark(root, Watermark(day=day))
    for view, snapshot in snapshots.items():
        sink(pl.scan_parquet(snapshot).select(view.keys), _keys_path(root, view))
    return online, emptied


def _remember_keys(view: View, snapshot: Path, *, root: Path) -> None:
    """Add the snapshot's keys to the record of those that may be online.

    Until the publish ends the record is a superset, so that one that was killed half-way is emptied of its own rows too.
    """
    known = _keys_path(root, view)
    keys = [pl.scan_parquet(path).select(view.keys) for path in (known, snapshot) if path.exists()]
    sink(pl.concat(keys).unique().sort(view.keys), known)


def _write_gone(view: View, snapshot: Path, *, day: date, root: Path) -> Path:
    """Write the rows, all features null, of the keys that may be online and are not in the snapshot; return the file."""
    gone = online_folder(root) / f"{view.name}.gone.parquet"
    features = pl.scan_parquet(snapshot)
    left = pl.scan_parquet(_keys_path(root, view)).join(features.select(view.keys), on=view.keys, how="anti")
    end = pl.lit(datetime.combine(day + timedelta(days=1), time(), UTC))
    sink(pl.concat([features.clear(), left], how="diagonal").with_columns(event_timestamp=end).sort(view.keys), gone)
    return gone


def _keys_path(root: Path, view: View) -> Path:
    return online_folder(root) / f"{view.name}.keys.parquet"


def _write_rows(store: "FeatureStore", view: View, path: Path, *, chunk_rows: int) -> int:
    """Write a Parquet file's rows to the online store, `chunk_rows` at a time, each chunk in one transaction.

    Hands them to the store itself: `write_to_online_store` drops, with a warning, a frame whose features are all null.
    """
    from feast.infra.provider import get_provider

    from components.publish.rows import EmbeddedWriter, to_rows

    declared = store.get_feature_view(view.name)
    writer = EmbeddedWriter() if store.config.online_store.type == "sqlite" else get_provider(store.config)
    rows = 0
    for chunk in _chunks(path, chunk_rows):
        writer.online_write_batch(store.config, declared, to_rows(chunk, declared, view.keys), None)
        rows += chunk.num_rows
    return rows


def _chunks(path: Path, rows: int) -> Iterator["pa.RecordBatch"]:
    """Read a Parquet file a chunk at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=rows)
