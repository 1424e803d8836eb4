"""The accepted events are slices of whole minutes in order, of bounded size; they depend on the rows alone."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.ingest import fingerprints
from components.ingest.columns import Target
from components.ingest.logs import Day, read_by_sorting, read_day
from components.ingest.slices import greedy

START = datetime(2024, 5, 2, tzinfo=UTC)


def impressions(rows, *, seed=0, spread=timedelta(hours=24)):
    """Rows with keys in no order; every fifth shares its time with the one before."""
    draw = random.Random(seed)
    offsets = sorted(draw.randrange(int(spread.total_seconds() * 1e6)) for _ in range(rows))
    offsets = [offsets[at - 1] if at % 5 == 4 else offset for at, offset in enumerate(offsets)]
    times = [START + timedelta(microseconds=offset) for offset in offsets]
    ids = [f"i-{draw.randrange(10**9)}-{at}" for at in range(rows)]
    return pl.DataFrame(
        {"id": ids, "user": "u", "item": 1, "time": times, "position": 1, "scene": "s", "rank": 1, "price": 0.5, "fresh": True}
    )


def slices_of(landing, **bounds):
    scratch = landing.root / f"scratch-{len(list(landing.root.glob('scratch*')))}"
    day = Day(landing.folder(), Target("impressions", landing.day, landing.profile), scratch, **bounds)
    return read_day(day, lambda slices: [rows.collect(engine="streaming") for rows in slices]).accepted


@given(counts=st.lists(st.integers(1, 9), max_size=30), most=st.integers(1, 20))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_slices_of_a_day_are_as_long_as_they_may_be_and_miss_no_minute(counts, most):
    histogram = [(minute * 300, count) for minute, count in enumerate(counts)]
    stretches = greedy(histogram, most)
    sizes = [[count for minute, count in histogram if first <= minute < last] for first, last in stretches]
    days = [{minute // 1440 for minute, _ in histogram if first <= minute < last} for first, last in stretches]
    assert [count for size in sizes for count in size] == counts
    assert all(len(day) == 1 for day in days)
    assert all(sum(size) <= most or len(size) == 1 for size in sizes)
    assert all(
        sum(size) + after[0] > most or day != next_ for (size, after), (day, next_) in zip(pairwise(sizes), pairwise(days), strict=True)
    )


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_events_of_the_eve_are_a_slice_of_their_own(landing, as_parquet, shuffled):
    eve = impressions(100, spread=timedelta(hours=1)).with_columns(pl.col("time") - timedelta(hours=2), id="e" + pl.col("id"))
    rows = pl.concat([eve, impressions(300, spread=timedelta(hours=1))]).sort("time", "id")
    landing.write("a.parquet", as_parquet(rows.sample(fraction=1, shuffle=True, seed=1) if shuffled else rows))
    assert [part.height for part in slices_of(landing, chunk_rows=130, file_rows=1000)] == [100, 300]


@pytest.mark.parametrize("shuffled", [False, True])
def test_slices_hold_at_most_file_rows_and_are_in_order(landing, as_parquet, shuffled):
    rows = impressions(5000)
    for part in range(3):
        written = rows[part::3] if shuffled else rows[part * 1700 : (part + 1) * 1700]
        landing.write(f"{part}.parquet", as_parquet(written.sample(fraction=1, shuffle=True, seed=1) if shuffled else written))
    found = slices_of(landing, chunk_rows=130, file_rows=400)
    assert len(found) > 10
    assert max(part.height for part in found) <= 400
    expected = rows.sort("time", "id")["id"].to_list()
    assert pl.concat(found)["impression_id"].to_list() == expected


def test_slices_do_not_depend_on_how_the_rows_arrive(landing_at, tmp_path, as_parquet):
    rows = impressions(3000, spread=timedelta(hours=1))
    one, many = landing_at(tmp_path / "one"), landing_at(tmp_path / "many")
    one.write("a.parquet", as_parquet(rows))
    for part in range(7):
        again = rows[part::7].sample(fraction=1, shuffle=True, seed=part)
        many.write(f"{part}.csv.gz", pl.concat([again, again[:50]]).with_columns(pl.col("time").dt.strftime("%FT%T%.6fZ")).write_csv())
    expected = slices_of(one, chunk_rows=100_000, file_rows=500)
    found = slices_of(many, chunk_rows=37, file_rows=500)
    assert [part.rows() for part in found] == [part.rows() for part in expected]


def test_a_minute_with_more_rows_is_a_slice_of_its_own(landing, as_parquet):
    landing.write("a.parquet", as_parquet(impressions(1000, spread=timedelta(seconds=50))))
    assert [part.height for part in slices_of(landing, chunk_rows=100, file_rows=10)] == [1000]


def test_a_day_without_rows_is_one_slice_without_rows(landing, as_parquet):
    landing.write("a.parquet", as_parquet(impressions(10)[:0]))
    assert [part.height for part in slices_of(landing, chunk_rows=100, file_rows=10)] == [0]


def test_a_slice_gives_what_is_asked_of_it(landing, as_parquet):
    landing.write("a.parquet", as_parquet(impressions(500)))
    target = Target("impressions", landing.day, landing.profile)
    (rows,) = read_by_sorting(Day(landing.folder(), target, landing.root / "s", chunk_rows=50, file_rows=1000), list).accepted
    whole = rows.collect()
    assert rows.select("item_id", "impression_id").collect().rows() == whole.select("item_id", "impression_id").rows()
    assert rows.head(70).collect().rows() == whole.head(70).rows()
    late = pl.col("exposed_at") >= START + timedelta(hours=12)
    assert rows.filter(late).select("impression_id").collect().rows() == whole.filter(late).select("impression_id").rows()


@pytest.mark.parametrize("at_once", [64, 1 << 24])
def test_duplicates_are_found_a_range_of_fingerprints_at_a_time(landing, as_parquet, monkeypatch, at_once):
    monkeypatch.setattr(fingerprints, "_AT_ONCE", at_once)
    landing.chunk_rows = 50
    rows = impressions(1000)
    changed = rows[:100].with_columns(price=2.0)
    for number, part in enumerate((rows, rows.reverse(), rows.sample(fraction=1, shuffle=True, seed=1), changed, changed)):
        landing.write(f"{number}.parquet", as_parquet(part))
    found = landing.read()
    assert found.accepted["price"].unique().to_list() == [0.5]
    assert found.accepted["impression_id"].to_list() == rows.sort("time", "id")["id"].to_list()
    assert [one.accepted for one in found.accounting] == [1000, 0, 0, 0, 0]
    assert [one.exact_duplicates for one in found.accounting] == [0, 1000, 1000, 0, 100]
    assert [one.conflicting_duplicates for one in found.accounting] == [0, 0, 0, 100, 0]
    assert found.quarantined["file"].unique().to_list() == ["3.parquet"]


def test_events_are_counted_by_hour_of_the_arrival_day(landing, as_parquet):
    times = [START - timedelta(hours=1), START, START, START + timedelta(hours=5, minutes=59), START + timedelta(hours=23, minutes=59)]
    rows = impressions(5).with_columns(time=pl.Series(times))
    landing.write("a.parquet", as_parquet(pl.concat([rows, rows[:2]])))
    assert landing.read().hours == (2, *[0] * 4, 1, *[0] * 17, 1)
