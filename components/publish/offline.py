"""A day's features as Parquet snapshots beside the lake, which Feast's offline store reads."""

import os
from datetime import date
from pathlib import Path

import polars as pl

from components.publish.views import View, offline_folder


def snapshot_path(root: Path, view: View, day: date) -> Path:
    """Return the file of one day of one view."""
    return offline_folder(root) / view.name / f"day={day}" / "part-0.parquet"


def write_snapshot(features: pl.LazyFrame, *, view: View, day: date, root: Path) -> Path:
    """Write a day's features in their order, without the `day` column (the folder's name holds it)."""
    path = snapshot_path(root, view, day)
    sink(features.drop("day", strict=False), path)
    return path


def sink(frame: pl.LazyFrame, path: Path) -> None:
    """Stream a frame into a Parquet file that appears whole or not at all. One writer of a path at a time."""
    aside = path.with_name(f".{path.name}")
    frame.sink_parquet(aside, mkdir=True, engine="streaming", maintain_order=True)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)
