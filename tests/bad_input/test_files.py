"""Files that cannot be read as a whole stop the day: where, expected, found, next; and what was there before stays."""

import gzip
from collections.abc import Callable

import polars as pl
import pytest

from tests.bad_input.conftest import DAY, Zone
from tests.bad_input.logs import as_csv, as_ndjson, as_parquet, rows

MANY = rows([f"i-{number * 7919 % 10007}" for number in range(3000)])
FRAME = pl.DataFrame(rows())
RENAMED = [{"sku" if name == "item" else name: value for name, value in row.items()} for row in rows()]
WITHOUT = [{name: value for name, value in row.items() if name != "price"} for row in rows()]


@pytest.mark.parametrize(
    ("name", "content", "expected", "found", "then"),
    [
        ("a.csv.gz", gzip.compress(as_csv(MANY).encode())[:-2000], "a whole a.csv.gz", "Truncated compressed stream", "delivered again"),
        (
            "a.ndjson.gz",
            gzip.compress(as_ndjson(MANY).encode())[:-9],
            "a whole a.ndjson.gz",
            "Truncated compressed stream",
            "delivered again",
        ),
        ("a.parquet", as_parquet(MANY)[:-100], "a whole a.parquet", "magic bytes not found", "delivered again"),
        ("a.parquet", b"", "a whole a.parquet", "0 bytes", "delivered again"),
        ("a.csv", b"", "a header with one column 'id'", "0 of that name in []", "correct the file"),
        ("a.csv.gz", b"", "a .gz stream", "0 bytes", "delivered again"),
        (
            "a.csv",
            as_csv(rows(), delimiter=";"),
            "one column 'id'",
            "0 of that name in ['id;user;item",
            "the profile's columns and delimiter",
        ),
        ("a.csv", as_csv(WITHOUT), "one column 'price'", "0 of that name", "the profile's columns"),
        ("a.parquet", as_parquet(WITHOUT), "one column 'price'", "0 of that name", "the profile's columns"),
        ("a.csv", as_csv(RENAMED), "one column 'item'", "'user', 'sku', 'time'", "the profile's columns"),
        ("a.parquet", as_parquet(RENAMED), "one column 'item'", "'user', 'sku', 'time'", "the profile's columns"),
        ("a.parquet", as_parquet(FRAME.with_columns(item=[1])), "plain values in column 'item'", "type List", "correct the file"),
        ("a.parquet", as_parquet(rows(time=1714636800)), "timestamps or ISO 8601 text", "type Int64", "columns and clock"),
        (
            "a.csv",
            as_csv(rows()) + "b,u," + "x" * (64 << 20) + "\n",
            "lines of at most 16777216 bytes",
            "a longer one",
            "then rerun ingest",
        ),
        ("a.csv.part", as_csv(rows()), "a file named .csv", "another suffix", "rename or remove it"),
    ],
)
def test_a_file_that_cannot_be_read_stops_the_day_and_leaves_what_was_there(
    zone: Zone, name: str, content: str | bytes, expected: str, found: str, then: str
) -> None:
    zone.write("0.csv", as_csv(rows()))
    assert zone.counts() == (3, 0)
    before = zone.rows()
    path = zone.write("new", content)
    path = path.rename(path.with_name(name))
    refused = zone.ingest()
    assert (refused.status, refused.out) == (1, "")
    said = refused.err.splitlines()[-1]
    assert said.startswith(f"RawLogError: {path}: expected ")
    assert [part for part in (expected, found, then, "then rerun ingest") if part not in said] == []
    assert zone.rows().equals(before)
    assert zone.scratch() == []
    assert "run `esmm ingest 2024-05-02` first" in zone.command("label", str(DAY)).err
    path.unlink()
    assert zone.counts() == (3, 0)


@pytest.mark.parametrize("files", [(), ("_SUCCESS",)])
def test_a_directory_with_no_logs_is_not_a_day(zone: Zone, files: tuple[str, ...]) -> None:
    folder = zone.folder()
    for name in files:
        zone.write(name, "")
    refused = zone.ingest()
    assert refused.status == 1
    assert (
        f"{folder}: expected at least one raw file, found none; wait for the delivery, or put a file with only a header there"
        in refused.err
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", as_csv(rows())[: as_csv(rows()).index("\n") + 1]), ("a.ndjson", ""), ("a.parquet", as_parquet(FRAME.head(0)))],
)
def test_a_file_without_rows_says_that_the_day_had_no_events(zone: Zone, name: str, content: str | bytes) -> None:
    zone.write(name, content)
    assert zone.counts() == (0, 0)


@pytest.mark.parametrize("write", [as_csv, as_ndjson, as_parquet])
def test_a_column_that_the_profile_does_not_name_is_not_read(zone: Zone, write: Callable[..., str | bytes]) -> None:
    names = {as_csv: "a.csv", as_ndjson: "a.ndjson", as_parquet: "a.parquet"}
    zone.write(names[write], write([{"more": "=1+1", **row, "and more": "x"} for row in rows()]))
    assert zone.counts() == (3, 0)
    assert "more" not in zone.rows().columns


def test_a_64_mib_value_of_a_parquet_file_costs_its_row_and_its_text_is_cut(zone: Zone) -> None:
    zone.write("a.parquet", as_parquet(FRAME.with_columns(scene=pl.Series(["home", "x" * (64 << 20), "home"]))))
    assert zone.counts() == (2, 1)
    ((_, row, reason),) = zone.reasons()
    assert row == 2
    assert reason.startswith("scene of more than 1048576 bytes: 'xxx")
    raw = zone.command("quarantine", str(DAY), "--kind", "impressions", "--json").json["rows"][0]["raw"]
    assert raw.endswith("bytes)")
    assert len(raw) < 2 << 20


@pytest.mark.parametrize(
    ("name", "cut", "reason"),
    [
        ("a.ndjson", as_ndjson(rows())[:-20], "broken JSON: "),
        ("a.csv", as_csv(rows())[:-9], "wrong number of fields: expected 7, found 5"),
        ("a.csv", as_csv(rows())[:-2], "no line end: the last value may be cut"),
        ("a.csv", as_csv(rows())[:-1], "no line end: the last value may be cut"),
    ],
)
def test_a_plain_file_cut_in_its_last_line_loses_that_line_alone(zone: Zone, name: str, cut: str, reason: str) -> None:
    zone.write(name, cut)
    assert zone.counts() == (2, 1)
    ((file, row, found),) = zone.reasons()
    assert (file, row) == (name, 3)
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", as_csv(rows())[:-1]),  # the stream's own end says that it is whole
        ("a.csv", as_csv(rows(price=["1", "2", '"12.55"']))[:-1]),  # so does the quote
        ("a.ndjson", as_ndjson(rows())[:-1]),  # and the brace
    ],
)
def test_a_last_line_that_cannot_be_cut_needs_no_line_end(zone: Zone, name: str, content: str) -> None:
    zone.write(name, content)
    assert zone.counts() == (3, 0)
