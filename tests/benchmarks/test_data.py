import polars as pl
import pytest

from components import steps
from components.lake import Lake
from components.settings import Settings
from tests.benchmarks.data_logs import rewrite, write_logs
from tests.benchmarks.data_peers import count_differences, label_in_duckdb
from tests.benchmarks.data_rounds import DAY, EVE, Bench

IMPRESSIONS = 20_000


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    for name in ("ESMM_HOME", "ESMM_DATA__PROFILE"):
        monkeypatch.setenv(name, "")  # put back what Bench sets
    write_logs(tmp_path / "parquet" / "raw", days=[EVE, DAY], impressions=IMPRESSIONS, seed=1)
    return Bench(tmp_path, IMPRESSIONS, 1, (), with_duckdb=True).settings()


def test_duckdb_finds_the_same_samples_and_a_changed_one_is_counted(settings, tmp_path):
    steps.ingest(DAY, settings)
    record, theirs = steps.label(DAY, settings), tmp_path / "theirs.parquet"
    lake = Lake(settings.lake_uri, settings.profile)
    label_in_duckdb(lake, DAY, theirs, settings.labels, ordered=True)
    assert record["clicks"] > 700
    assert record["conversions"] > 10
    assert count_differences(lake, DAY, theirs) == 0
    changed = pl.read_parquet(theirs).with_columns(position=pl.when(pl.int_range(pl.len()) < 3).then(-1).otherwise("position"))
    changed[:-1].write_parquet(theirs)
    assert count_differences(lake, DAY, theirs) == 4


@pytest.mark.parametrize("form", ["shuffled", "csv.gz", "ndjson.gz"])
def test_every_form_of_the_logs_holds_the_same_rows(settings, tmp_path, form):
    source, target = settings.raw / "impressions" / f"day={DAY}", tmp_path / form
    rewrite(source, target, form)
    read = {"shuffled": pl.scan_parquet, "csv.gz": pl.scan_csv, "ndjson.gz": pl.scan_ndjson}[form]
    key = [pl.col("impression_id").cast(pl.String), "position"]
    rows = [
        frame.select(key).sort("impression_id").collect()
        for frame in (pl.scan_parquet(sorted(source.iterdir())), read(sorted(target.iterdir())))
    ]
    assert rows[0].equals(rows[1].cast(rows[0].schema))


def test_the_same_seed_writes_the_same_bytes(settings, tmp_path):
    write_logs(tmp_path / "again", days=[EVE, DAY], impressions=IMPRESSIONS, seed=1)
    files = [path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()]
    assert len(files) > 50
    assert all((settings.raw / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
