"""The simulated landing zone: its bytes, its rates, its faults, and that nothing arrives before it happens."""

import gzip
import hashlib
import io
import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard
from sklearn.metrics import roc_auc_score

from components.profile import EVENT_KEY, EVENT_TIME, KINDS, Kind, load_profile
from components.settings import Data, Settings, load_settings
from components.simulate import traffic
from components.simulate.events import Day, draw_outcomes
from components.simulate.world import World, simulate

START = date(2024, 5, 1)
RAW_KEY = {**EVENT_KEY, "purchases": "order_no"}
RAW_TIME = {**EVENT_TIME, "purchases": "paid_at"}


def digests(folder: Path, days: int) -> dict[str, str]:
    wanted = [f"day={START + timedelta(days=n)}" for n in range(days)]
    files = sorted(path for path in folder.rglob("part-*") if path.parent.name in wanted)
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
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    out = tmp_path_factory.mktemp("raw")
    return out, simulate(out, start=START, days=3, impressions_per_day=40_000, seed=5)["days"]


def test_same_seed_gives_the_same_bytes_and_a_longer_run_begins_with_them(tmp_path):
    for name, days, seed in (("first", 2, 1), ("longer", 3, 1), ("other", 2, 2)):
        simulate(tmp_path / name, start=START, days=days, impressions_per_day=2_000, seed=seed)
    first, longer, other = (digests(tmp_path / name, 2) for name in ("first", "longer", "other"))
    assert len(first) == 2 * (2 + 1 + 1 + 1)
    assert first == longer
    assert not set(first.values()) & set(other.values())


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


def test_most_purchases_follow_their_click_within_half_an_hour_and_some_after_the_window():
    delays = traffic.purchase_delay_ms(np.random.default_rng(3), 50_000) / 60_000
    assert 0.65 < np.mean(delays < 30) < 0.8
    assert 0.0005 < np.mean(delays > 7 * 1440) < 0.02


def test_new_ids_appear_every_day(world):
    out, written = world
    seen: set[int] = set()
    for number, day in enumerate(written):
        users = readable(out, "impressions", date.fromisoformat(day["day"]))["user_id"].str.slice(1).cast(pl.Int64)
        seen.add(int(users.max()))
        assert users.max() < 4000 + 80 * number
    assert len(seen) == 3


def test_the_truth_can_be_learned_and_stays_out_of_the_logs(world):
    shop = World(5, 40_000)
    day = Day(0, START, np.random.default_rng([5, 1]))
    shown = traffic.draw_impressions(day.rng, 40_000, shop.users, shop.items, shop.liking)
    truth = draw_outcomes(day, shown, shop.users, shop.items, shop.base)
    clicked = np.isin(np.arange(40_000), truth.clicked)
    converted = np.isin(np.arange(40_000), truth.converted)
    assert 0.75 < roc_auc_score(clicked, truth.pctr) < 0.85
    assert 0.75 < roc_auc_score(converted[clicked], truth.pcvr[clicked]) < 0.9
    context = {"cat_id", "shop_id", "brand_id", "scene", "device", "price"}
    columns = set(readable(world[0], "impressions", START).columns)
    assert columns == {"impression_id", "user_id", "item_id", "exposed_at", "position"} | context


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
