"""The simulated landing zone: its bytes, its rates, its faults, and that nothing arrives before it happens."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard

from components.profile import EVENT_KEY, EVENT_TIME, KINDS, Kind, load_profile
from components.settings import Data, Settings, load_settings
from components.simulate import world as simulation
from components.simulate.world import simulate

START = date(2024, 5, 1)
RAW_KEY = {**EVENT_KEY, "purchases": "order_no"}
RAW_TIME = {**EVENT_TIME, "purchases": "paid_at"}


def digests(folder: Path, days: int) -> dict[str, str]:
    wanted = [f"day={START + timedelta(days=n)}" for n in range(days)]
    files = sorted(path for path in folder.rglob("part-*") if path.parent.name in wanted)  # of the logs and of the truth
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def text_lines(path: Path) -> list[str]:
    packed = path.read_bytes()
    plain = gzip.decompress(packed) if path.suffix == ".gz" else zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read()
    return plain.decode().splitlines()


def readable(folder: Path, kind: Kind, day: date) -> pl.DataFrame:
    """Rows of one day that parse and have their key, item and time, read by other means than the product's."""
    parts = sorted((folder / kind / f"day={day}").iterdir())
    if kind == "impressions":
        frame = pl.concat([pl.read_parquet(part) for part in parts])
        return frame.drop_nulls(["impression_id", "item_id", "exposed_at"])
    lines = text_lines(parts[0])
    if kind == "clicks":
        rows = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    else:
        names = lines[0].split(",")
        rows = [dict(zip(names, cells, strict=True)) for line in lines[1:] if len(cells := line.split(",")) == len(names)]
    key, at = RAW_KEY[kind], RAW_TIME[kind]
    rows = [row for row in rows if row.get(key) and row.get("item_id", row.get("article")) and "T25:" not in row[at]]
    return pl.DataFrame(rows).with_columns(pl.col(at).str.to_datetime(time_zone="UTC", time_unit="us"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[dict]]]:
    """Return a landing zone of three days of five blocks, and what was said of it."""
    out = tmp_path_factory.mktemp("world") / "raw"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "_BLOCK", 9_000)
        yield out, simulate(out, start=START, days=3, impressions_per_day=40_000, seed=5)["days"]


def test_same_seed_gives_the_same_bytes_and_a_longer_run_begins_with_them(tmp_path):
    for name, days, seed in (("first", 2, 1), ("longer", 3, 1), ("other", 2, 2)):
        simulate(tmp_path / name / "raw", start=START, days=days, impressions_per_day=2_000, seed=seed)
    first, longer, other = (digests(tmp_path / name, 2) for name in ("first", "longer", "other"))
    assert len(first) == 2 * (2 + 1 + 1 + 1 + 2)
    assert first == longer
    assert not set(first.values()) & set(other.values())


def test_no_day_and_no_block_repeats_another(world):
    out, written = world
    truth = [pl.read_parquet(out.parent / "truth" / f"day={day['day']}" / f"part-{part}.parquet") for day in written for part in range(2)]
    for column in ("examined", "click_delay_s"):
        assert len({tuple(rows[column][:5000]) for rows in truth}) == len(truth)


def test_neither_threads_nor_the_zone_change_a_byte(tmp_path):
    script = (
        "import sys; from datetime import date; from pathlib import Path; from components.simulate import world; world._BLOCK = 2000\n"
        "world.simulate(Path(sys.argv[1]), start=date(2024, 5, 1), days=2, impressions_per_day=6500, seed=3, world='confounded')"
    )
    for name, threads, zone in (("one", "1", "Asia/Kolkata"), ("four", "4", "America/New_York")):
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "OMP_NUM_THREADS": threads, "TZ": zone}
        subprocess.run([sys.executable, "-c", script, str(tmp_path / name / "raw")], check=True, env=environment)
    one, four = (digests(tmp_path / name, 2) for name in ("one", "four"))
    assert len(one) == 2 * (8 + 1 + 1 + 1 + 4 + 1)
    assert one == four


def test_memory_is_a_blocks_and_not_the_days(tmp_path):
    script = (
        "import sys; from datetime import date; from pathlib import Path; from components.simulate import world\n"
        "world.simulate(Path(sys.argv[1]), start=date(2024, 5, 1), days=1, impressions_per_day=int(sys.argv[2]), seed=3)\n"
        "print(max(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )

    def peak_mib(rows: int) -> float:
        command = [sys.executable, "-c", script, str(tmp_path / str(rows) / "raw"), str(rows)]
        return int(subprocess.run(command, check=True, capture_output=True).stdout) / 1024

    assert peak_mib(600_000) < peak_mib(200_000) + 150  # in one block: 450 more


def test_writing_a_day_again_replaces_it(tmp_path):
    simulate(tmp_path, start=START, days=1, impressions_per_day=500, seed=1)
    before = digests(tmp_path, 1)
    (tmp_path / "clicks" / f"day={START}" / "part-9.ndjson").write_text("left over\n")
    simulate(tmp_path, start=START, days=1, impressions_per_day=500, seed=1)
    assert digests(tmp_path, 1) == before


@pytest.mark.parametrize(("days", "impressions", "seed"), [(0, 100, 1), (1, 0, 1), (1, 100, -1)])
def test_sizes_that_make_no_world_are_refused(tmp_path, days, impressions, seed):
    with pytest.raises(ValueError, match="must be positive"):
        simulate(tmp_path, start=START, days=days, impressions_per_day=impressions, seed=seed)


def test_one_impression_a_day_is_a_world(tmp_path):
    (written,) = simulate(tmp_path, start=START, days=1, impressions_per_day=1, seed=1)["days"]
    assert written["impressions"] == {"rows": 1, "exact_duplicates": 0, "conflicting_duplicates": 0, "broken": 0}


@pytest.mark.parametrize("kind", KINDS)
def test_reported_counts_are_those_of_the_files(world, kind):
    out, written = world
    for day in written:
        rows = readable(out, kind, date.fromisoformat(day["day"]))
        counts = day[kind]
        future = rows.filter(pl.col(RAW_TIME[kind]).dt.year() > START.year + 5).height  # broken, though it parses
        broken = counts["rows"] - rows.height + future
        rows = rows.filter(pl.col(RAW_TIME[kind]).dt.year() < START.year + 5)
        exact = rows.height - rows.unique().height
        conflicting = rows.unique().height - rows[RAW_KEY[kind]].n_unique()
        assert (exact, conflicting, broken) == (counts["exact_duplicates"], counts["conflicting_duplicates"], counts["broken"])
        assert counts["broken"] > 0 or kind == "purchases"


@pytest.mark.parametrize("kind", KINDS)
def test_no_event_is_newer_than_its_arrival_day_and_some_are_late(world, kind):
    out, written = world
    late = 0
    for day in (date.fromisoformat(each["day"]) for each in written):
        on = readable(out, kind, day).select(pl.col(RAW_TIME[kind]).dt.date()).to_series()
        on = on.filter(on.dt.year() < START.year + 5)
        assert on.max() <= day
        late += (on < day).sum()
    assert late > 0 or kind == "impressions"


def test_rates_and_daily_curve_are_those_of_a_shop(world):
    out, written = world
    shown, clicks, orders = (
        pl.concat([readable(out, kind, date.fromisoformat(day["day"])).unique(RAW_KEY[kind], keep="first") for day in written])
        for kind in ("impressions", "clicks", "purchases")
    )
    assert 0.04 < clicks.height / shown.height < 0.06
    assert 0.07 < orders.height / clicks.height < 0.12
    assert 0.25 < (shown["exposed_at"].dt.hour() >= 18).mean() < 0.35
    assert 0.02 < clicks["impression_id"].is_null().mean() < 0.08
    assert "impression_id" not in orders.columns


def test_a_log_is_in_order_of_time_but_for_its_broken_rows(world):
    out, _ = world
    for kind in KINDS:
        times = readable(out, kind, START)[RAW_TIME[kind]]
        steps = times.filter(times.dt.year() < START.year + 5).diff().drop_nulls()
        assert (steps < timedelta(seconds=-2)).mean() < 0.05, kind  # a duplicate stands anywhere in its block


def test_ids_are_new_on_every_day_for_4_to_12_in_a_hundred(world):
    out, written = world
    days = [readable(out, "impressions", date.fromisoformat(day["day"])) for day in written]
    for column, prefix in (("user_id", "u"), ("item_id", "item")):
        numbers = [day[column].str.strip_prefix(prefix).cast(pl.Int64).unique() for day in days]
        for before, after in pairwise(numbers):
            assert 0.04 < (after > before.max()).mean() < 0.12


def test_items_are_popular_by_zipfs_law_and_a_few_users_make_much_of_the_traffic(world):
    out, written = world
    shown = pl.concat([readable(out, "impressions", date.fromisoformat(day["day"])) for day in written])
    biggest = shown["cat_id"].value_counts(sort=True)["cat_id"][0]
    counts = shown.filter(pl.col("cat_id") == biggest)["item_id"].value_counts(sort=True)["count"].to_numpy()[1:100]
    exponent = -np.polyfit(np.log(np.arange(2, len(counts) + 2)), np.log(counts), 1)[0]
    assert 0.6 < exponent < 1.1
    visits = shown["user_id"].value_counts(sort=True)["count"]
    assert 0.25 < visits[: len(visits) // 10].sum() / visits.sum() < 0.6


def test_purchases_are_of_clicked_impressions_but_for_one_in_20(world):
    out, written = world
    clicks, orders = (
        pl.concat([readable(out, kind, date.fromisoformat(day["day"])).unique(RAW_KEY[kind], keep="first") for day in written])
        for kind in ("clicks", "purchases")
    )
    truth = pl.read_parquet(out.parent / "truth" / "day=*" / "*.parquet")
    shown = pl.concat([readable(out, "impressions", date.fromisoformat(day["day"])) for day in written]).unique("impression_id")
    pairs = truth.join(shown, on="impression_id").select("user_id", "item_id", "clicked", "converted", "converts_if_clicked")
    bought = orders.select(user_id="buyer", item_id="article").unique()
    credited = bought.join(pairs.filter("converted"), on=["user_id", "item_id"], how="semi")
    assert 0.03 < 1 - credited.height / bought.height < 0.08
    never = pairs.group_by("user_id", "item_id").agg(pl.col("clicked").any(), pl.col("converts_if_clicked").any())
    missed = never.filter(~pl.col("clicked") & pl.col("converts_if_clicked"))
    assert missed.height > 500
    assert bought.join(missed, on=["user_id", "item_id"], how="semi").height <= 2
    first = clicks.group_by(buyer="user_id", article="item_id").agg(pl.col("clicked_at").min())
    after = orders.join(first, on=["buyer", "article"])
    assert (after["paid_at"] > after["clicked_at"]).mean() > 0.99


def test_the_written_profile_fits_the_logs_and_the_settings(world, tmp_path):
    out, _ = world
    profile = load_profile(out / "profile.toml")
    assert profile.kinds == KINDS
    for kind in KINDS:
        raw = set(readable(out, kind, START).columns)
        assert set(getattr(profile, kind).columns.values()) <= raw
    settings_file = tmp_path / "settings.toml"
    settings_file.write_text(f'[data]\nraw = "{out}"\nprofile = "{out}/profile.toml"\n')
    settings = load_settings(settings_file)
    assert settings.labels.conversion_window == timedelta(days=7)
    assert settings.data == Data(raw=str(out), profile=str(out / "profile.toml"))
    assert isinstance(settings, Settings)
