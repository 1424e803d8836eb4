"""Every format and compression gives the same events."""

import gzip
import itertools
import random
from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from components.errors import RawLogError
from components.ingest import files

HEADER = "time,id,user,item,position,scene,rank,price,fresh,unused"
CSV = f'''{HEADER}
2024-05-02T08:00:00Z,i-1,u-1,9007199254740993,3,"home, top",7,1.50,true,x
2024-05-01T23:59:59.25Z,i-2,,42,,"say ""hi""",,,,
'''
NDJSON = (
    '{"time":"2024-05-02T08:00:00Z","id":"i-1","user":"u-1","item":9007199254740993,"position":3,"scene":"home, top",'
    '"rank":7,"price":1.50,"fresh":true,"unused":{}}\n'
    '{"time":"2024-05-01T23:59:59.25Z","id":"i-2","user":null,"item":"42","position":"","scene":"say \\"hi\\"","fresh":null}\n'
)
TYPED = pl.DataFrame(
    {
        "time": [datetime(2024, 5, 2, 8, tzinfo=UTC), datetime(2024, 5, 1, 23, 59, 59, 250_000, tzinfo=UTC)],
        "id": ["i-1", "i-2"],
        "user": ["u-1", None],
        "item": [9007199254740993, 42],
        "position": [3, None],
        "scene": ["home, top", 'say "hi"'],
        "rank": [7, None],
        "price": [1.5, None],
        "fresh": [True, None],
        "unused": [[1], [2]],
    }
)
INSTANT = pl.Datetime("us", "UTC")
EVENTS = pl.DataFrame(
    [
        ("i-2", None, "42", datetime(2024, 5, 1, 23, 59, 59, 250_000, tzinfo=UTC), None, 'say "hi"', None, None, None),
        ("i-1", "u-1", "9007199254740993", datetime(2024, 5, 2, 8, tzinfo=UTC), 3, "home, top", 7, 1.5, True),
    ],
    orient="row",
    schema={
        "impression_id": pl.String,
        "user_id": pl.String,
        "item_id": pl.String,
        "exposed_at": INSTANT,
        "position": pl.Int32,
        "scene": pl.String,
        "rank": pl.Int64,
        "price": pl.Float64,
        "fresh": pl.Boolean,
    },
)
FORMATS = ("csv", "ndjson", "jsonl", "json", "parquet")


@pytest.mark.parametrize(("suffix", "compression"), list(itertools.product(FORMATS, ("", ".gz", ".zst", ".GZ"))))
def test_each_format_and_compression_gives_the_same_events(landing, as_parquet, suffix, compression):
    content = {"csv": CSV, "parquet": as_parquet(TYPED)}.get(suffix, NDJSON)
    landing.write(f"part-0.{suffix}{compression.lower()}", content).rename(landing.folder() / f"part-0.{suffix}{compression}")
    found = landing.read()
    assert_frame_equal(found.accepted, EVENTS)
    assert found.reasons == []
    assert [(one.file, one.rows_in, one.accepted) for one in found.accounting] == [(f"part-0.{suffix}{compression}", 2, 2)]


def test_crlf_line_ends_a_byte_order_mark_and_blank_lines_change_nothing(landing):
    landing.write("a.csv", b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n\r\n").encode())
    assert_frame_equal(landing.read().accepted, EVENTS)


def test_a_file_may_lack_its_last_line_end_where_that_says_nothing(landing):
    landing.write("a.csv.gz", CSV.rstrip("\n"))
    landing.write("b.ndjson", NDJSON.rstrip("\n"))
    found = landing.read()
    assert_frame_equal(found.accepted, EVENTS)
    assert [(one.rows_in, one.accepted, one.exact_duplicates) for one in found.accounting] == [(2, 2, 0), (2, 0, 2)]


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 100])
def test_a_line_end_inside_quotes_belongs_to_the_value_in_every_chunking(landing, chunk_rows):
    landing.chunk_rows = chunk_rows
    scenes = ["a", '"one\n\ntwo, ""three"""', '"x\n"', "z"]
    rows = [f"2024-05-02T08:00:0{at}Z,i-{at},u,1,,{scene},,,," for at, scene in enumerate(scenes)]
    landing.write("a.csv", "\n".join([HEADER, *rows, ""]))
    found = landing.read()
    assert found.accepted["scene"].to_list() == ["a", 'one\n\ntwo, "three"', "x\n", "z"]
    assert found.accounting[0].rows_in == 4


def test_the_profile_names_the_delimiter(landing_with):
    landing = landing_with(clicks={"columns": {"impression_id": "id", "item_id": "item", "clicked_at": "time"}, "delimiter": "\t"})
    landing.write("a.csv", "id\titem\ttime\ni-1\t1,2\t2024-05-02T00:00:00Z\n", "clicks")
    assert landing.read("clicks").accepted.select("impression_id", "item_id").rows() == [("i-1", "1,2")]


def test_two_members_and_two_frames_are_one_file(landing):
    first, second = (f"{HEADER}\n2024-05-02T00:00:00Z,i-1,,1,,,,,,\n", "2024-05-02T00:00:01Z,i-2,,1,,,,,,\n")
    for suffix in (".gz", ".zst"):
        one, two = (landing.write(f"part{suffix}", part).read_bytes() for part in (first, second))
        (landing.folder() / f"part{suffix}").unlink()
        (landing.folder() / f"a.csv{suffix}").write_bytes(one + two)
    assert [one.rows_in for one in landing.read().accounting] == [2, 2]


@pytest.mark.parametrize("dtype", [pl.Int32, pl.UInt64, pl.Float64, pl.Categorical, pl.Binary, pl.Decimal(20, 0)])
def test_parquet_ids_of_any_plain_type_are_the_same_text(landing, as_parquet, dtype):
    ids = pl.Series("item", [7, 42])
    column = ids.cast(pl.String).cast(dtype) if dtype in (pl.Categorical, pl.Binary) else ids.cast(dtype)
    landing.write("a.parquet", as_parquet(TYPED.with_columns(column)))
    assert sorted(landing.read().accepted["item_id"]) == ["42", "7"]


def test_markers_are_no_logs_and_the_files_are_read_by_name(landing):
    for name, content in (("b.csv", CSV), ("a.csv", f"{HEADER}\n"), ("_SUCCESS", ""), (".b.csv.crc", "x")):
        landing.write(name, content)
    assert [(one.file, one.rows_in) for one in landing.read().accounting] == [("a.csv", 0), ("b.csv", 2)]


def test_a_day_with_a_header_only_has_no_rows_but_their_columns(landing):
    landing.write("part-0.csv.gz", "id,user,item,time,amount\n", "purchases")
    found = landing.read("purchases")
    assert found.accepted.height == 0
    assert found.accepted.columns == ["order_id", "impression_id", "user_id", "item_id", "purchased_at", "amount"]
    assert found.accounting[0].rows_in == 0
    assert not found.accounting[0].warning


@pytest.mark.parametrize("part", [1, 5, 100, 1 << 18])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_gzip_members_of_any_size_read_as_gzip_reads_them(tmp_path, monkeypatch, part, size):
    draw = random.Random(f"{part} {size}")
    monkeypatch.setattr(files, "_PART", part)
    members = [bytes(draw.choices(b"abc\n", k=draw.choice([0, 1, 2, 50, 3000]))) for _ in range(9)]
    path = tmp_path / "a.csv.gz"
    path.write_bytes(b"".join(gzip.compress(member, draw.choice([0, 1, 9])) for member in members))
    assert read_whole(path, size) == b"".join(members)
    whole = path.read_bytes()
    for torn in (whole[:-1], whole[:-9], whole + b"\x1f", whole + b"\0", whole + b"more"):
        path.write_bytes(torn)
        with pytest.raises(RawLogError, match=r"expected a whole a\.csv\.gz"):
            read_whole(path, size)


def read_whole(path, size):
    with files.opened(files.RawFile(path, "csv", ".gz")) as stream:
        return b"".join(iter(lambda: stream.read(size), b""))
