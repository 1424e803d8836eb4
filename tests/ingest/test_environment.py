"""Neither the machine's time zone nor its number of threads changes a byte of what is read."""

import os
import subprocess
import sys
from datetime import date

import polars as pl
import pytest

PROGRAM = """
import hashlib, sys
from datetime import date
from pathlib import Path
from components.ingest.columns import Target
from components.ingest.logs import Day, read_day
from components.profile import load_profile
folder, day = Path(sys.argv[1]), date.fromisoformat(sys.argv[2])
profile = load_profile(folder / "profile.toml")
target = Target("impressions", day, profile)
def write(slices):
    digest = hashlib.sha256()
    for number, rows in enumerate(slices):
        path = Path(sys.argv[3]) / f"{number}.parquet"
        rows.sink_parquet(path, engine="streaming", maintain_order=True, row_group_size=128)
        digest.update(path.read_bytes())
    return digest.hexdigest()
Path(sys.argv[3]).mkdir()
found = read_day(Day(folder / "impressions" / f"day={day}", target, Path(sys.argv[3]), chunk_rows=100, file_rows=400), write)
print(found.accepted, write([found.quarantined]), [one.accepted for one in found.accounting], found.hours)
"""
PROFILE = """
name = "shop"
clock = {zone = "America/New_York"}
fields = [{name = "item_id", kind = "id"}]
impressions = {columns = {impression_id = "id", item_id = "item", exposed_at = "time"}, context = {price = "float"}}
clicks = {columns = {item_id = "item", clicked_at = "time"}}
purchases = {columns = {item_id = "item", order_id = "id", purchased_at = "time"}}
"""
SETTINGS = [
    *({"TZ": zone, "POLARS_MAX_THREADS": "2"} for zone in ("UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")),
    {"TZ": "UTC", "POLARS_MAX_THREADS": "1"},
]


@pytest.mark.parametrize(("day", "accepted"), [(date(2024, 3, 10), [1080, 500, 500]), (date(2024, 11, 3), [1140, 500, 500])])
def test_zone_and_threads_of_the_machine_change_nothing(tmp_path, day, accepted):
    """On both days New York changes its clocks: 2:00 to 2:59 is skipped, 1:00 to 1:59 comes twice and is read as the earlier."""
    (tmp_path / "profile.toml").write_text(PROFILE)
    folder = tmp_path / "impressions" / f"day={day}"
    folder.mkdir(parents=True)
    minutes = [f"{day}T{hour:02}:{minute:02}:00" for hour in range(24) for minute in range(60)]
    local = pl.DataFrame({"id": [f"l-{at * 7919 % 1440}" for at in range(1440)], "item": 1, "time": minutes, "price": 0.5})
    local.filter(pl.col("time") < f"{day}T19").write_csv(folder / "a.csv")
    utc = pl.DataFrame({"id": [f"u-{at * 7919 % 500}" for at in range(500)], "item": 2, "time": minutes[:500], "price": 1.5})
    utc.with_columns(pl.col("time") + "Z").write_ndjson(folder / "b.ndjson")
    typed = pl.col("time").str.to_datetime("%FT%T").dt.replace_time_zone("UTC")
    utc.with_columns(typed, pl.format("t-{}", "id").alias("id")).write_parquet(folder / "c.parquet")
    seen = set()
    for number, changes in enumerate(SETTINGS):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(day), str(tmp_path / f"scratch-{number}")]
        seen.add(subprocess.run(command, env={**os.environ, **changes}, capture_output=True, text=True, check=True).stdout)
    assert len(seen) == 1
    assert str(accepted) in seen.pop()
