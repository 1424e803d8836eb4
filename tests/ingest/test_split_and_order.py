"""However the rows of a day are ordered and split into files and formats, the same events are read."""

import io
import json
import tempfile
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

COLUMNS = ["id", "user", "item", "time", "position", "scene", "rank", "price", "fresh"]
SCENES = ["", "home", 'a "b", c', "one\ntwo", "'", "ünï", "null", "\\"]
TIMES = [f"2024-05-0{day}T{hour:02}:00:00.{hour:06}Z" for day in (1, 2) for hour in range(12)]
BROKEN = {"id": "", "time": "2024-05-02T00:00:00Z", "item": "1"}


@st.composite
def rows(draw):
    """Rows of which the content follows from key and time, so that the earliest of a key is one row's content."""
    key, hour = draw(st.integers(0, 5)), draw(st.integers(0, len(TIMES) - 1))
    seed = key * 31 + hour
    return {
        "id": f"i-{key}",
        "user": ["", "u", "9007199254740993"][seed % 3],
        "item": str(2**53 + key),
        "time": TIMES[hour],
        "position": ["", "1", "25"][seed % 3],
        "scene": SCENES[seed % len(SCENES)],
        "rank": ["", "-3"][seed % 2],
        "price": ["", "1.25", "1e3"][seed % 3],
        "fresh": ["", "true", "false"][seed % 3],
    }


def as_csv(part):
    quoted = [",".join('"' + row.get(name, "").replace('"', '""') + '"' for name in COLUMNS) for row in part]
    return "\n".join([",".join(COLUMNS), *quoted]).encode()


def as_ndjson(part):
    return "\n".join(json.dumps({name: value for name, value in row.items() if value}) for row in part).encode()


def as_parquet(part):
    buffer = io.BytesIO()
    texts = [{name: row.get(name) for name in COLUMNS} for row in part]
    pl.DataFrame(texts, schema=dict.fromkeys(COLUMNS, pl.String)).write_parquet(buffer)
    return buffer.getvalue()


WRITERS = {"csv": as_csv, "ndjson": as_ndjson, "parquet": as_parquet}
FILES = st.lists(st.tuples(st.sampled_from(sorted(WRITERS)), st.sampled_from(["", ".gz", ".zst"])), min_size=1, max_size=3)


@given(data=st.data(), day=st.lists(rows(), max_size=12), broken=st.integers(0, 2), chunk_rows=st.integers(1, 5))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_order_and_split_into_files_and_formats_do_not_matter(landing_at, data, day, broken, chunk_rows):
    written = [*day, *[BROKEN] * broken]
    with tempfile.TemporaryDirectory() as reference, tempfile.TemporaryDirectory() as other:
        plain = landing_at(Path(reference))
        plain.write("a.csv", as_csv(written))
        landing = landing_at(Path(other))
        landing.chunk_rows = chunk_rows
        shuffled = data.draw(st.permutations(written))
        files = data.draw(FILES)
        for number, (suffix, compression) in enumerate(files):
            landing.write(f"{number}.{suffix}{compression}", WRITERS[suffix](shuffled[number :: len(files)]))
        expected, found = plain.read(), landing.read()
    assert_frame_equal(found.accepted, expected.accepted)
    earliest = {key: min(row["time"] for row in day if row["id"] == key) for key in {row["id"] for row in day}}
    assert dict(found.accepted.select("impression_id", pl.col("exposed_at").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")).rows()) == earliest
    assert sum(one.rows_in for one in found.accounting) == len(written)
    for name in ("exact_duplicates", "conflicting_duplicates", "quarantined"):
        assert sum(getattr(one, name) for one in found.accounting) == sum(getattr(one, name) for one in expected.accounting)
    assert sorted(found.quarantined["reason"]) == sorted(expected.quarantined["reason"])
