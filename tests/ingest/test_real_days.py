"""One day of each real set through its profile, against counts and sums of the same files read with the standard library or pyarrow."""

import csv
import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from components.ingest.columns import Target
from components.ingest.logs import Day, read_day
from components.profile import EVENT_KEY, EVENT_TIME, load_profile
from components.settings import Settings
from components.tables import ITEM_FEATURES, SAMPLES, USER_FEATURES

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parents[3] / "shared" / "data"
DAYS = {"taobao": date(2017, 11, 26), "trivago": date(2018, 11, 7), "online_ads": date(2020, 4, 2)}
KINDS = [(name, kind) for name in DAYS for kind in ("impressions", "clicks", "purchases")] + [("taobao", "actions"), ("trivago", "actions")]


def profile_of(name):
    return load_profile(ROOT / "infra" / "profiles" / f"{name}.toml")


def read_plainly(path):
    """Return a file's rows as dictionaries, without Polars."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream)) if ".csv" in path.name else [json.loads(line) for line in stream]


def epoch(time):
    return (time if isinstance(time, datetime) else datetime.fromisoformat(time)).astimezone(UTC).timestamp()


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_real_day_is_read_whole(tmp_path, name, kind):
    day, profile = DAYS[name], profile_of(name)
    folder = DATA / name / kind / f"day={day}"
    if not folder.is_dir():
        pytest.skip(f"the real logs are absent: {folder}")
    expected = [row for path in folder.iterdir() for row in read_plainly(path)]
    logs = Day(folder, Target(kind, day, profile), tmp_path, chunk_rows=30_000, file_rows=1_000_000)
    found = read_day(logs, lambda slices: pl.concat(rows.collect(engine="streaming") for rows in slices))
    events = found.accepted
    assert [(one.rows_in, one.accepted) for one in found.accounting] == [(len(expected), len(expected))]
    assert found.quarantined.collect().is_empty()
    key, at = EVENT_KEY[kind], EVENT_TIME[kind]
    assert dict(events.select(key, pl.col(at).dt.epoch("us")).rows()) == {row[key]: round(epoch(row[at]) * 1_000_000) for row in expected}
    for column in {"item_id", *(profile.context if kind == "impressions" else ())}:
        assert dict(events.select(key, column).rows()) == {row[key]: row[column] for row in expected}, column


@pytest.mark.parametrize("name", DAYS)
def test_the_profile_names_fields_that_exist_and_settings_that_are_valid(name):
    profile = profile_of(name)
    columns = {column for table in (SAMPLES, USER_FEATURES, ITEM_FEATURES) for column in table.columns(profile)}
    assert {field.source for field in profile.fields} <= columns
    assert set(profile.slices) <= set(profile.context)
    assert "position" not in {field.source for field in profile.fields}
    assert profile.has_users == (name != "online_ads")
    chosen = Settings(**profile.settings)
    assert chosen.gate.min_positives >= chosen.evaluation.min_positives
