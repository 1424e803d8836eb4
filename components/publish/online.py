"""Publishing a day's features: offline always, online unless the store holds a newer day.

After a publish the online store holds exactly the day's snapshot: what training will see for the next day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from components.publish.offline import sink, write_snapshot
from components.publish.store import open_store, register
from components.publish.views import VIEWS, View, online_folder
from components.publish.watermark import Watermark, exclusive, read_watermark, write_watermark
from components.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
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


def publish_day(day: date, users: pl.LazyFrame, items: pl.LazyFrame, *, settings: Settings) -> Published:
    """Write a day's user and item features to Feast, one publish at a time per home.

    users, items: one row per key, the columns of USER_FEATURES and ITEM_FEATURES (`day` may be absent); event_timestamp is the end
    of the day. Rerunning a day, also after a kill, leaves the same snapshot and online values. A day older than any day of which
    a row may be online is written offline only.
    """
    frames = dict(zip(VIEWS, (users, items), strict=True))
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
        sink(pl.scan_parquet(snapshot).select(view.key), _keys_path(root, view))
    return online, emptied


def _remember_keys(view: View, snapshot: Path, *, root: Path) -> None:
    """Add the snapshot's keys to the record of those that may be online.

    Until the publish ends the record is a superset, so that one that was killed half-way is emptied of its own rows too.
    """
    known = _keys_path(root, view)
    keys = [pl.scan_parquet(path).select(view.key) for path in (known, snapshot) if path.exists()]
    sink(pl.concat(keys).unique().sort(view.key), known)


def _write_gone(view: View, snapshot: Path, *, day: date, root: Path) -> Path:
    """Write the rows, all features null, of the keys that may be online and are not in the snapshot; return the file."""
    gone = online_folder(root) / f"{view.name}.gone.parquet"
    features = pl.scan_parquet(snapshot)
    left = pl.scan_parquet(_keys_path(root, view)).join(features.select(view.key), on=view.key, how="anti")
    end = pl.lit(datetime.combine(day + timedelta(days=1), time(), UTC))
    sink(pl.concat([features.clear(), left], how="diagonal").with_columns(event_timestamp=end).sort(view.key), gone)
    return gone


def _keys_path(root: Path, view: View) -> Path:
    return online_folder(root) / f"{view.name}.keys.parquet"


def _write_rows(store: "FeatureStore", view: View, path: Path, *, chunk_rows: int) -> int:
    """Write a Parquet file's rows to the online store, `chunk_rows` at a time, each chunk in one transaction.

    Goes through the provider, as `write_to_online_store` does: that method drops, with a warning, a frame whose features are all null.
    """
    from feast.infra.provider import get_provider

    provider, declared = get_provider(store.config), store.get_feature_view(view.name)
    rows = 0
    for chunk in _chunks(path, chunk_rows):
        provider.ingest_df(declared, chunk)
        rows += len(chunk)
    return rows


def _chunks(path: Path, rows: int) -> Iterator["pd.DataFrame"]:
    """Read a Parquet file as pandas frames of Arrow columns: integers with nulls stay integers."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows):
            yield pa.Table.from_batches([batch]).to_pandas(types_mapper=pd.ArrowDtype)
