"""The same events give the same bytes, in whatever order and on however many threads; and the day streams."""

import hashlib
import io
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from components.label.samples import label_samples
from components.settings import Labels
from tests.label.logs import DAY, END, SCHEMAS, START

ROWS = 6000
KINDS = tuple(SCHEMAS)


def make_logs(seed: int) -> dict[str, pl.DataFrame]:
    """Return logs with many ties, repeated keys, events that name an impression and events that do not."""

    def pick(values: list[str | None], size: int, salt: int) -> pl.Series:
        return pl.Series(values, dtype=pl.String).sample(size, with_replacement=True, seed=seed + salt)

    def log(kind: str, size: int, salt: int) -> pl.DataFrame:
        key, at = next(iter(SCHEMAS[kind])), next(name for name in SCHEMAS[kind] if name.endswith("_at"))
        minutes = pl.Series(range(24 * 60)).sample(size, with_replacement=True, seed=seed + salt)
        columns = {
            "user_id": pick([*"abcdefgh", None], size, salt + 1),
            "item_id": pick([*"ijkl"], size, salt + 2),
            "impression_id": pick([*[None] * ROWS, *map(str, range(ROWS))], size, salt + 3),
            key: pick([*map(str, range(int(size * 0.9)))], size, salt + 4),
            at: START + minutes.cast(pl.Duration("us")) * 60_000_000,
            "position": pl.Series(range(size)) % 7,
            "scene": pick(["home", "search", None], size, salt + 5),
            "amount": pl.repeat(1.0, size, eager=True),
            "arrived_on": pl.repeat(DAY, size, eager=True),
        }
        return pl.DataFrame({name: columns[name].cast(dtype) for name, dtype in SCHEMAS[kind].items()})

    return {kind: log(kind, size, 100 * salt) for salt, (kind, size) in enumerate(zip(KINDS, (ROWS, 900, 300, 300), strict=True))}


def write_logs(folder: Path) -> dict[str, pl.LazyFrame]:
    """Write the logs as Parquet and return their scans."""
    for kind, rows in make_logs(7).items():
        rows.write_parquet(folder / f"{kind}.parquet")
    return scan_logs(folder)


def scan_logs(folder: Path) -> dict[str, pl.LazyFrame]:
    """Return scans of the logs in a folder."""
    return {kind: pl.scan_parquet(folder / f"{kind}.parquet") for kind in KINDS}


def digest(logs: dict[str, pl.LazyFrame]) -> str:
    """Return a hash over the samples as a Parquet file (Arrow files also hold whatever bytes lie under a null)."""
    samples = label_samples(**logs, day=DAY, labelled_through=END, windows=Labels(click_window=timedelta(hours=2)))
    frame = samples.collect(engine="streaming").rechunk()
    assert frame["converted"].sum() > 10
    frame.write_parquet(file := io.BytesIO())
    return hashlib.sha256(file.getvalue()).hexdigest()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_of_rows_moves_no_byte(seed: int) -> None:
    logs = make_logs(7)
    shuffled = {kind: rows.sample(fraction=1, shuffle=True, seed=seed).lazy() for kind, rows in logs.items()}
    assert digest(shuffled) == digest({kind: rows.lazy() for kind, rows in logs.items()})


@pytest.mark.parametrize("threads", ["1", "3"])
def test_number_of_threads_moves_no_byte(threads: str, tmp_path: Path) -> None:
    logs = write_logs(tmp_path)
    environment = {**os.environ, "POLARS_MAX_THREADS": threads}
    command = [sys.executable, "-m", "tests.label.test_same_bytes", str(tmp_path)]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
    assert found.stdout.split() == [threads, digest(logs)]


def test_day_is_never_collected(tmp_path: Path) -> None:
    """Only small frames are in memory when the samples are read: no step falls back to the in-memory engine."""
    samples = label_samples(**write_logs(tmp_path), day=DAY, labelled_through=END, windows=Labels())
    plan = samples.show_graph(plan_stage="physical", engine="streaming", raw_output=True, show=False)
    assert plan is not None
    assert "multi-scan[parquet]" in plan
    assert "in-memory-join" not in plan
    assert "multiplexer" not in plan


if __name__ == "__main__":
    print(pl.thread_pool_size(), digest(scan_logs(Path(sys.argv[1]))))  # noqa: T201
