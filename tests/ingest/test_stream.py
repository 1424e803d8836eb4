"""Events that arrive about in order are written as they are read; however a day is read, the same comes of it."""

import io
import random
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import steps
from components.errors import DataError, NotReadyError, RawLogError
from components.ingest import logs
from components.ingest.ahead import one_ahead, work_ahead
from components.ingest.columns import Target
from components.ingest.logs import Day, read_by_sorting, read_day, read_in_order
from components.ingest.reorder import OutOfOrder, Reorder
from components.lake import Lake
from components.settings import load_settings
from components.tables import IMPRESSIONS

START = datetime(2024, 5, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def events(rows, *, seed=0, minutes=60.0, step_us=1):
    """Raw impressions in the order of time, with keys in no order; a coarse `step_us` lets many share their time."""
    draw = random.Random(seed)
    span = max(int(minutes * 60e6) // step_us, 1)
    times = [START + timedelta(microseconds=at * step_us) for at in sorted(draw.randrange(span) for _ in range(rows))]
    ids = [f"i-{draw.randrange(10**9)}-{seed}-{at}" for at in range(rows)]
    types = {"id": pl.String, "time": pl.Datetime("us", "UTC")}
    frame = pl.DataFrame({"id": ids, "user": "u", "item": 1, "time": times, "position": 1, "scene": "s", "rank": 1}, schema_overrides=types)
    return frame.with_columns(price=pl.int_range(pl.len()) % 7 / 2, fresh=True)


def as_csv(rows):
    return rows.with_columns(pl.col("time").dt.strftime("%FT%T%.6fZ")).write_csv()


def as_files(slices):
    """Collect the slices one after the other, as the bytes of Parquet files."""
    written = []
    for rows in slices:
        buffer = io.BytesIO()
        rows.sink_parquet(buffer, engine="streaming", maintain_order=True, row_group_size=64)
        written.append(buffer.getvalue())
    return written


def read(landing, way, kind="impressions", scratch="scratch"):
    """Read a day in one way: the bytes of its slices, the quarantine, the accounting and the hours."""
    target = Target(kind, landing.day, landing.profile)
    day = Day(landing.folder(kind), target, landing.root / scratch, landing.chunk_rows, landing.file_rows)
    found = way(day, as_files)
    return found.accepted, found.quarantined.collect().rows(), found.accounting, found.hours


def keys(slices):
    return [key for written in slices for key in pl.read_parquet(io.BytesIO(written))["impression_id"]]


def shuffled(rows, seed=0):
    return rows.sample(fraction=1, shuffle=True, seed=seed)


@pytest.mark.parametrize("step_us", [1, 50_000])
@pytest.mark.parametrize("suffix", ["parquet", "csv.gz"])
@pytest.mark.parametrize("within", [list, shuffled], ids=["in order", "each file in no order"])
def test_files_that_follow_each_other_are_written_as_they_are_read(landing, as_parquet, suffix, step_us, within):
    landing.chunk_rows, landing.file_rows = 800, 300
    rows = events(3000, step_us=step_us)
    for part in range(4):
        some = rows[part * 750 : (part + 1) * 750]
        some = some if within is list else shuffled(some)
        landing.write(f"{part}.{suffix}", as_parquet(some) if suffix == "parquet" else as_csv(some))
    slices, quarantined, accounting, _ = read(landing, read_in_order)
    assert keys(slices) == rows.sort("time", "id")["id"].to_list()
    assert len(slices) > 9
    assert [one.accepted for one in accounting] == [750] * 4
    assert quarantined == []


def disordered(rows, draw, arrival):
    """Return the rows as they arrive: in order, a little late, in no order, or from the last to the first."""
    if arrival == "late":
        at = rows.with_row_index("at").select(pl.col("at") + pl.Series([draw.randrange(40) for _ in range(rows.height)])).to_series()
        return rows[at.arg_sort()]
    return {"in order": rows, "shuffled": shuffled(rows, draw.randrange(99)), "backwards": rows.reverse()}[arrival]


DAYS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 999),
        "size": st.sampled_from([0, 1, 40, 120]),
        "minutes": st.sampled_from([0.5, 5, 60, 1440]),
        "step_us": st.sampled_from([1, 1_000_000, 60_000_000]),
        "arrival": st.sampled_from(["in order", "in order", "late", "shuffled", "backwards"]),
        "repeats": st.sampled_from(["none", "near", "far", "changed at once", "changed later"]),
        "split": st.sampled_from(["one", "after each other", "interleaved"]),
    }
)


def raw_files(day):
    """Return the rows of each file of a generated day, as they arrive."""
    made = events(day["size"], seed=day["seed"], minutes=day["minutes"], step_us=day["step_us"])
    rows = disordered(made, random.Random(day["seed"]), day["arrival"])
    again = rows[:30] if day["repeats"] == "far" else rows[-30:]
    if day["repeats"].startswith("changed"):
        later = 2 * MINUTE if day["repeats"] == "changed later" else 0 * MINUTE
        again = again.with_columns(pl.col("time") + later, price=99.0)
    rows = rows if day["repeats"] == "none" else pl.concat([rows, again, again[:3]])
    if day["split"] == "interleaved":
        return [rows[part::3] for part in range(3)]
    step = max(-(-rows.height // (1 if day["split"] == "one" else 3)), 1)
    return [rows[at : at + step] for at in range(0, max(rows.height, 1), step)]


@given(
    day=DAYS,
    chunk_rows=st.sampled_from([3, 20, 1000]),
    file_rows=st.sampled_from([10, 50, 10_000]),
    kind=st.sampled_from(["impressions", "clicks"]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_day_read_as_it_comes_is_the_day_read_by_sorting(landing_at, tmp_path_factory, day, chunk_rows, file_rows, kind):
    landing = landing_at(tmp_path_factory.mktemp("day"))
    landing.chunk_rows, landing.file_rows = chunk_rows, file_rows
    files = raw_files(day)
    for number, rows in enumerate(files):
        landing.write(f"{number}.csv", as_csv(rows), kind)
    expected = read(landing, read_by_sorting, kind, "sorting")
    assert read(landing, read_day, kind, "as it comes") == expected
    assert [one.rows_in for one in expected[2]] == [rows.height for rows in files]


def frames(*minutes):
    """One frame for each list of minutes, a row a minute."""
    return [pl.DataFrame({"time": [START + minute * MINUTE for minute in part], "at": list(part)}) for part in minutes]


def test_batches_are_whole_minutes_in_order_and_hold_every_row_once():
    draw = random.Random(0)
    minutes = [at // 10 + draw.randrange(3) for at in range(1000)]
    parts = [minutes[at : at + 30] for at in range(0, 1000, 30)]
    batches = [batch["at"].to_list() for batch in Reorder("time", 100).batches(frames(*parts))]
    assert len(batches) > 10
    assert sorted(minute for batch in batches for minute in batch) == sorted(minutes)
    assert all(max(before) < min(after) for before, after in pairwise(batches))
    assert max(map(len, batches)) <= 100 + 50 + 30


@pytest.mark.parametrize(("minute", "refused"), [(4, True), (5, False)])
def test_what_is_earlier_than_a_minute_that_has_left_is_refused(minute, refused):
    """At 15 rows with 10 to be kept the minutes before the sixth leave."""
    parts = frames(range(15), [minute])
    if refused:
        with pytest.raises(OutOfOrder, match="an event of 2024-05-02 00:04:00"):
            list(Reorder("time", 10).batches(parts))
    else:
        assert [batch["at"].to_list() for batch in Reorder("time", 10).batches(parts)] == [[*range(5)], [*range(5, 15), 5]]


def test_a_key_that_repeats_later_than_the_rows_held_back_is_found_before_anything_stands(landing):
    landing.chunk_rows, landing.file_rows = 20, 100
    rows = events(500)
    moved = rows[:1].with_columns(pl.col("time") + timedelta(hours=2))
    landing.write("a.csv", as_csv(pl.concat([rows, moved])))
    with pytest.raises(OutOfOrder, match="some impression_id has events of several times"):
        read(landing, read_in_order, scratch="first")
    slices, quarantined, accounting, _ = read(landing, read_day)
    assert keys(slices) == rows.sort("time", "id")["id"].to_list()
    assert [row[:3] for row in quarantined] == [("a.csv", 501, "conflicting_duplicate")]
    assert [(one.rows_in, one.accepted, one.conflicting_duplicates) for one in accounting] == [(501, 500, 1)]


def in_lake(landing):
    """Return a lake of the landing's profile, and the names of the data files of its impressions."""
    lake = Lake(str(landing.root / "lake"), landing.profile)
    return lake, lambda: sorted(path.name for path in (landing.root / "lake" / "impressions").rglob("*.parquet"))


def test_a_draft_of_a_day_that_turns_out_to_be_out_of_order_leaves_no_file(landing):
    landing.chunk_rows, landing.file_rows = 20, 100
    rows = events(500)
    landing.write("a.csv", as_csv(pl.concat([rows, rows[:1].with_columns(pl.col("time") - timedelta(hours=2))])))
    lake, files = in_lake(landing)
    write = partial(lake.write, IMPRESSIONS, landing.day)
    target = Target("impressions", landing.day, landing.profile)
    with pytest.raises(OutOfOrder):
        read_in_order(Day(landing.folder(), target, landing.root / "first", 20, 100), write)
    assert files() == []
    draft = read_day(Day(landing.folder(), target, landing.root / "second", 20, 100), write).accepted
    assert draft.num_rows == 500
    assert files() == sorted(Path(file.path).name for file in draft.files)


def test_a_file_that_is_torn_after_slices_were_written_leaves_no_file_and_is_named(landing):
    landing.chunk_rows, landing.file_rows = 20, 100
    landing.write("a.csv", as_csv(events(500)))
    whole = landing.write("b.csv.gz", as_csv(events(500, seed=1).with_columns(pl.col("time") + timedelta(hours=1))))
    whole.write_bytes(whole.read_bytes()[:-100])
    lake, files = in_lake(landing)
    day = Day(landing.folder(), Target("impressions", landing.day, landing.profile), landing.root / "scratch", 20, 100)
    with pytest.raises(RawLogError, match=r"b\.csv\.gz: expected a whole b\.csv\.gz"):
        read_day(day, partial(lake.write, IMPRESSIONS, landing.day))
    assert files() == []


def test_rows_that_go_astray_are_noticed_before_anything_stands(landing, monkeypatch):
    landing.write("a.csv", as_csv(events(50)))
    monkeypatch.setattr(logs, "Stream", Shortened)
    lake, files = in_lake(landing)
    day = Day(landing.folder(), Target("impressions", landing.day, landing.profile), landing.root / "scratch", 1000, 1000)
    with pytest.raises(DataError, match=r"a\.csv: expected accepted \+ .* = rows_in = 50, found 49 \+ 0 \+ 0 \+ 0 = 49"):
        read_day(day, partial(lake.write, IMPRESSIONS, landing.day))
    assert files() == []


class Shortened(logs.Stream):
    """A stream that loses a row."""

    def _settled(self):
        yield from (rows[: rows.height - 1] for rows in super()._settled())


PROFILE = """name = "shop"
fields = [{name = "item_id", kind = "id"}]
impressions = {columns = {impression_id = "id", item_id = "item", exposed_at = "time"}}
clicks = {columns = {item_id = "item", clicked_at = "time"}}
purchases = {columns = {item_id = "item", order_id = "id", purchased_at = "time"}}
arrival = {impressions = {hours = "0-1"}}
"""


def test_a_day_of_which_an_hour_is_absent_leaves_no_file(landing, monkeypatch):
    (landing.root / "profile.toml").write_text(PROFILE)
    places = {"HOME": "home", "DATA__RAW": "raw", "DATA__PROFILE": "profile.toml"}
    for name, place in places.items():
        monkeypatch.setenv(f"ESMM_{name}", str(landing.root / place))
    landing.write("a.csv", as_csv(events(50)))
    with pytest.raises(NotReadyError, match="found none for 01"):
        steps.ingest_kind(landing.day, "impressions", load_settings())
    assert list((landing.root / "home").rglob("*.parquet")) == []
    landing.write("b.csv", as_csv(events(50, seed=1).with_columns(pl.col("time") + timedelta(hours=1))))
    assert steps.ingest_kind(landing.day, "impressions", load_settings())["accepted"] == 100


def test_work_ahead_gives_what_came_before_a_fault_and_then_the_fault():
    def items():
        yield from (1, 2, 3)
        raise RawLogError("torn")

    found = []
    with pytest.raises(RawLogError, match="torn"):
        found.extend(work_ahead(lambda item: item * 2, items()))
    assert found == [2, 4, 6]


def test_one_ahead_gives_every_item_in_order():
    assert list(one_ahead(iter([3, 1, 2]))) == [3, 1, 2]
    assert list(one_ahead(iter([]))) == []
