"""What the steps of a day cost beside what bounds them: `make bench-day`. Both sides of a ratio in turn, medians of three, one run.

Prints a table and writes `<ESMM_HOME>/bench/day.json`.
"""

import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from components import steps
from components.lake import Lake
from components.settings import Settings, load_settings
from components.simulate.world import simulate
from components.tables import IMPRESSIONS, SAMPLES
from tests.benchmarks.table import Row, report, row

DAY = date(2024, 5, 2)
ROWS = 200_000
ROUNDS = 3


def main() -> None:
    """Measure and report."""
    home = load_settings().root
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update({"ESMM_HOME": folder, "ESMM_DATA__RAW": f"{folder}/raw", "ESMM_DATA__PROFILE": f"{folder}/raw/profile.toml"})
        simulate(Path(folder) / "raw", start=DAY - timedelta(days=1), days=2, impressions_per_day=ROWS, seed=1)
        settings = load_settings()
        for day in (DAY - timedelta(days=1), DAY):
            for step in (steps.ingest, steps.label, steps.validate, steps.relabel, steps.aggregate):
                step(day, settings)
        steps.train(DAY - timedelta(days=1), settings)
        results = measure(settings)
    report(home, "day", results)


def measure(settings: Settings) -> list[Row]:
    """Return one row per ratio."""
    lake, copy = Lake(settings.lake_uri, settings.profile), settings.root / "copy.parquet"
    raw = sorted((settings.raw / "impressions" / f"day={DAY}").glob("*.parquet"))

    def sorted_copy(source: pl.LazyFrame) -> None:
        source.sort("exposed_at", "impression_id").sink_parquet(copy)

    def read_samples() -> None:
        lake.scan(SAMPLES, DAY).sink_parquet(copy)

    pairs: list[tuple[str, Callable[[], object], str, Callable[[], object]]] = [
        (
            "ingest impressions",
            lambda: steps.ingest_kind(DAY, "impressions", settings),
            "sort and copy the raw file",
            lambda: sorted_copy(pl.scan_parquet(raw)),
        ),
        ("label", lambda: steps.label(DAY, settings), "sort and copy the impressions", lambda: sorted_copy(lake.scan(IMPRESSIONS, DAY))),
        ("train", lambda: steps.train(DAY, settings), "copy the samples", read_samples),
    ]
    return [ratio(name, step, against, plain) for name, step, against, plain in pairs]


def ratio(name: str, step: Callable[[], object], against: str, plain: Callable[[], object]) -> Row:
    """Time both sides in turn and return the ratio of their medians."""
    both = [(seconds(step), seconds(plain)) for _ in range(ROUNDS)]
    value = statistics.median(pair[0] for pair in both) / statistics.median(pair[1] for pair in both)
    return row(name, value, "x", against)


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    logging.disable(logging.INFO)
    main()
