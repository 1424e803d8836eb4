"""A file that cannot be read as a whole stops the day: which file, what was expected, what was found, what to do next."""

import gzip
import re

import polars as pl
import pytest

from components.errors import DataError, RawLogError
from components.ingest import lines
from components.ingest.accounting import Accounting

HEADER = "id,user,item,time,position,scene,rank,price,fresh"
ROWS = "".join(f"i-{at},u,{at * 7919 % 10007},2024-05-02T00:00:00Z,,,,,\n" for at in range(20_000))
FRAME = pl.DataFrame({"id": ["i"], "user": ["u"], "item": [1], "time": ["2024-05-02T00:00:00Z"]})


def refuse(landing, kind, *words):
    with pytest.raises(RawLogError, match=".*".join(re.escape(word) for word in words)) as caught:
        landing.read(kind)
    assert "rerun ingest" in str(caught.value)


@pytest.mark.parametrize("suffix", ["csv.gz", "csv.zst", "ndjson.gz", "ndjson.zst"])
@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_a_torn_stream_is_refused_by_name(landing, suffix, kept):
    content = f"{HEADER}\n{ROWS}" if "csv" in suffix else '{"id":"i","item":1,"time":"2024-05-02T00:00:00Z"}\n' * 20_000
    path = landing.write(f"part-7.{suffix}", content)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    refuse(landing, "impressions", f"part-7.{suffix}", "expected a whole", "found", "delivered again")


@pytest.mark.parametrize("suffix", ["csv.gz", "csv.zst", "parquet.gz"])
def test_a_corrupt_stream_is_refused_by_name(landing, suffix):
    path = landing.write(f"part-7.{suffix}", "")
    path.write_bytes(b"no stream of any kind")
    refuse(landing, "impressions", f"part-7.{suffix}", "expected a whole")


def test_a_gzip_file_with_a_wrong_checksum_is_refused(landing):
    path = landing.write("a.csv.gz", f"{HEADER}\n{ROWS}")
    whole = bytearray(path.read_bytes())
    whole[-8] ^= 1
    path.write_bytes(bytes(whole))
    refuse(landing, "impressions", "a.csv.gz", "incorrect data check")


@pytest.mark.parametrize("suffix", ["csv.gz", "ndjson.zst", "parquet.gz"])
def test_an_empty_compressed_file_is_refused(landing, suffix):
    landing.write(f"a.{suffix}", "").write_bytes(b"")
    refuse(landing, "impressions", f"a.{suffix}", "found 0 bytes")


@pytest.mark.parametrize("compression", ["", ".gz"])
@pytest.mark.parametrize("kept", [0, 4, 200, -4])
def test_a_torn_parquet_file_is_refused(landing, as_parquet, compression, kept):
    landing.write(f"a.parquet{compression}", as_parquet(FRAME)[:kept], "clicks")
    refuse(landing, "clicks", f"a.parquet{compression}", "expected a whole")


def test_a_parquet_page_that_belies_its_checksum_is_refused(landing):
    path = landing.folder("clicks") / "a.parquet"
    landing.write("a.parquet", b"", "clicks")
    rows = pl.concat([FRAME] * 1000).with_columns(id=pl.format("i-{}", pl.int_range(1000)))
    rows.write_parquet(path, compression="uncompressed", use_pyarrow=True, pyarrow_options={"write_page_checksum": True})
    altered = bytearray(path.read_bytes())
    altered[altered.index(b"i-500")] ^= 1
    path.write_bytes(bytes(altered))
    refuse(landing, "clicks", "a.parquet", "expected a whole")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("id,user,time,position,scene,rank,price,fresh", "found 0 of that name in ['id', 'user', 'time'"),
        ("id,user,item,item,time,position,scene,rank,price,fresh", "found 2 of that name"),
        ("", "found 0 of that name in []"),
    ],
)
def test_a_csv_header_without_a_declared_column_is_refused(landing, header, found):
    landing.write("a.csv", f"{header}\n")
    refuse(landing, "impressions", "a.csv", "one column", found, "profile")


def test_an_empty_csv_file_is_refused(landing):
    landing.write("a.csv", "")
    refuse(landing, "impressions", "a.csv", "a header", "found 0")


def test_a_parquet_file_without_a_declared_column_is_refused(landing, as_parquet):
    landing.write("a.parquet", as_parquet(FRAME.drop("item")), "clicks")
    refuse(landing, "clicks", "a.parquet", "one column 'item'", "['id', 'user', 'time']")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pl.Series("item", [[1]]), "plain values in column 'item', found type List"),
        (pl.Series("item", [1]).cast(pl.Date), "plain values in column 'item', found type Date"),
        (pl.Series("time", [1714608000]), "timestamps or ISO 8601 text in column 'time', found type Int64"),
        (pl.Series("time", [1]).cast(pl.Date), "timestamps or ISO 8601 text in column 'time', found type Date"),
    ],
)
def test_a_parquet_column_of_a_type_that_cannot_hold_it_is_refused(landing, as_parquet, column, expected):
    landing.write("a.parquet", as_parquet(FRAME.with_columns(column)), "clicks")
    refuse(landing, "clicks", "a.parquet", expected)


def test_a_folder_without_files_is_refused(landing):
    landing.write("_SUCCESS", "", "purchases")
    refuse(landing, "purchases", "day=2024-05-02", "at least one raw file, found none")


@pytest.mark.parametrize("name", ["a.xml", "a.csv.bz2", "a", "a.gz"])
def test_an_unknown_suffix_is_refused(landing, name):
    landing.write(name, gzip.compress(b"x"))
    refuse(landing, "impressions", name, ".csv, .ndjson", "found another suffix")


def test_a_folder_among_the_files_is_refused(landing):
    landing.write("a.csv", HEADER)
    (landing.folder() / "hour=01").mkdir()
    refuse(landing, "impressions", "hour=01", "found a folder")


def test_a_line_without_end_is_refused_before_it_fills_the_memory(landing, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE", 1 << 20)
    landing.write("a.ndjson", "x" * (3 << 20))
    refuse(landing, "impressions", "a.ndjson", "lines of at most 1048576 bytes")


def test_a_day_without_the_folder_of_impressions_is_refused(landing):
    (landing.root / "raw" / "impressions" / "day=2024-05-01").mkdir(parents=True)
    refuse(landing, "impressions", "day=2024-05-02", "found none, though 1 other days from day=2024-05-01")


@pytest.mark.parametrize("kind", ["impressions", "clicks", "actions", "purchases"])
def test_a_kind_that_arrived_on_no_day_is_refused(landing, kind):
    refuse(landing, kind, f"the day's {kind}", "found none on any day")


@pytest.mark.parametrize("kind", ["clicks", "actions", "purchases"])
def test_a_day_without_a_kind_that_arrived_on_other_days_has_no_rows_and_a_warning(landing, kind):
    (landing.root / "raw" / kind / "day=2024-05-09").mkdir(parents=True)
    found = landing.read(kind)
    assert (found.accepted.height, found.quarantined.height) == (0, 0)
    warning = f"no {kind} arrived: the folder is absent (1 other days have one)"
    assert found.accounting == [Accounting("day=2024-05-02/", 0, 0, 0, 0, 0, warning)]


@pytest.mark.parametrize(("accepted", "sums"), [(6, True), (5, False), (7, False)])
def test_the_accounting_must_add_up(accepted, sums):
    accounting = Accounting("a.csv", 10, accepted, 1, 1, 2)
    if sums:
        accounting.check()
        return
    with pytest.raises(DataError, match=rf"a\.csv: expected .* 10, found {accepted} \+ 1 \+ 1 \+ 2 = {accepted + 4}"):
        accounting.check()


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_each_page_with_a_checksum_is_checked(landing, version):
    """A byte is altered at a hundred places of the pages; wherever that is, the file is refused."""
    rows = pl.concat([FRAME] * 1000).with_columns(id=pl.format("i-{}", pl.int_range(1000)), user=pl.int_range(1000).cast(pl.String))
    options = {"write_page_checksum": True, "data_page_version": version, "data_page_size": 2000, "row_group_size": 400}
    path = landing.folder("clicks") / "a.parquet"
    landing.write("a.parquet", b"", "clicks")
    rows.write_parquet(path, use_pyarrow=True, pyarrow_options=options)
    whole = path.read_bytes()
    assert landing.read("clicks").accepted.height == 1000
    end = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    refused = 0
    for at in range(4, end, end // 100):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            found = landing.read("clicks")
        except RawLogError:
            refused += 1
        else:
            assert found.accepted.equals(found.accepted.sort("clicked_at", "click_id"))
    assert refused > 80
