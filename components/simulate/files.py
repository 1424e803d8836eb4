"""Writes one arrival day of each kind of log, each in its own format, with the faults of `faults.py`. Same rows, same bytes."""

import gzip
import shutil
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import zstandard

from components.profile import EVENT_KEY, EVENT_TIME, Kind
from components.simulate.faults import Written, break_lines, break_rows, csv_breakers, json_breakers, repeat_rows

_ISO = "%Y-%m-%dT%H:%M:%S%.3fZ"
_ORDER_NAMES = {"order_id": "order_no", "user_id": "buyer", "item_id": "article", "purchased_at": "paid_at", "amount": "total"}


def write_day(out: Path, kind: Kind, day: date, log: pl.DataFrame, rng: np.random.Generator) -> Written:
    """Replace `<out>/<kind>/day=<day>/` by the events that arrive that day (canonical columns, in order of time)."""
    folder = out / kind / f"day={day}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log, num_exact, num_changed = repeat_rows(rng, log, _altered(kind, day))
    rows, broken = _WRITERS[kind](folder, log, rng)
    return Written(rows, num_exact, num_changed, broken)


def _altered(kind: Kind, day: date) -> pl.Expr:
    """Another content for the same key: never newer than the arrival day, never before what it follows."""
    if kind == "impressions":
        return pl.col("position") + 1
    if kind == "purchases":
        return pl.col("amount") * 2
    time, end = pl.col(EVENT_TIME[kind]), pl.lit(day + timedelta(days=1)).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return pl.min_horizontal(time + timedelta(seconds=2), end - timedelta(milliseconds=1)).alias(EVENT_TIME[kind])


def _write_impressions(folder: Path, log: pl.DataFrame, rng: np.random.Generator) -> tuple[int, int]:
    log, broken = break_rows(rng, log, time="exposed_at", keys=("impression_id", "item_id"))
    half = log.height // 2
    log[:half].write_parquet(folder / "part-0.parquet", compression="zstd")
    log[half:].write_parquet(folder / "part-1.parquet", compression="zstd")
    return log.height, broken


def _write_clicks(folder: Path, log: pl.DataFrame, rng: np.random.Generator) -> tuple[int, int]:
    lines = _with_text_time(log, "clicked_at").write_ndjson().splitlines()
    lines, broken = break_lines(rng, lines, json_breakers(time="clicked_at", key="item_id"))
    (folder / "part-0.ndjson.gz").write_bytes(_gzip(_join(lines)))
    return len(lines), broken


def _write_actions(folder: Path, log: pl.DataFrame, rng: np.random.Generator) -> tuple[int, int]:
    text, rows, broken = _csv(log, "actions", rng, {})
    (folder / "part-0.csv.zst").write_bytes(zstandard.ZstdCompressor(level=3).compress(text))
    return rows, broken


def _write_purchases(folder: Path, log: pl.DataFrame, rng: np.random.Generator) -> tuple[int, int]:
    text, rows, broken = _csv(log, "purchases", rng, _ORDER_NAMES)
    (folder / "part-0.csv.gz").write_bytes(_gzip(text))
    return rows, broken


_WRITERS: dict[Kind, Callable[[Path, pl.DataFrame, np.random.Generator], tuple[int, int]]] = {
    "impressions": _write_impressions,
    "clicks": _write_clicks,
    "actions": _write_actions,
    "purchases": _write_purchases,
}


def _csv(log: pl.DataFrame, kind: Kind, rng: np.random.Generator, names: dict[str, str]) -> tuple[bytes, int, int]:
    time, key = EVENT_TIME[kind], EVENT_KEY[kind]
    raw = _with_text_time(log, time).rename(names)
    header, *lines = raw.write_csv().splitlines()
    breakers = csv_breakers(raw.columns, time=names.get(time, time), key=names.get(key, key))
    lines, broken = break_lines(rng, lines, breakers)
    return _join([header, *lines]), len(lines), broken


def _with_text_time(log: pl.DataFrame, time: str) -> pl.DataFrame:
    return log.with_columns(pl.col(time).dt.strftime(_ISO))


def _join(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _gzip(text: bytes) -> bytes:
    return gzip.compress(text, compresslevel=6, mtime=0)
