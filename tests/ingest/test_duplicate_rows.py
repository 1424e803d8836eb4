"""Equal rows are read once; of rows with one key and different content the first by event time, file and row is read."""

import polars as pl
import pytest

HEADER = "id,user,item,time,position,scene,rank,price,fresh\n"


def row(key, second, price=""):
    return f"{key},u,1,2024-05-02T00:00:{second:02}Z,,,,{price},\n"


def counts(found):
    return [(one.file, one.rows_in, one.accepted, one.exact_duplicates, one.conflicting_duplicates) for one in found.accounting]


@pytest.mark.parametrize("chunk_rows", [1, 2, 1000])
def test_equal_rows_are_read_once_within_and_across_files(landing, chunk_rows):
    landing.chunk_rows = chunk_rows
    landing.write("a.csv", HEADER + row("i", 0) + row("j", 1) + row("i", 0))
    landing.write("b.csv", HEADER + row("j", 1) + row("k", 2))
    found = landing.read()
    assert found.accepted["impression_id"].to_list() == ["i", "j", "k"]
    assert counts(found) == [("a.csv", 3, 2, 1, 0), ("b.csv", 2, 1, 1, 0)]
    assert found.quarantined.height == 0


@pytest.mark.parametrize("chunk_rows", [1, 1000])
def test_of_conflicting_rows_the_earliest_is_read_and_the_others_are_kept_aside(landing, chunk_rows):
    landing.chunk_rows = chunk_rows
    landing.write("a.csv", HEADER + row("i", 9) + row("j", 1))
    landing.write("b.csv", HEADER + row("x", 0) + row("i", 2))
    found = landing.read()
    assert found.accepted.filter(impression_id="i")["exposed_at"].dt.second().to_list() == [2]
    assert found.quarantined.rows() == [("a.csv", 1, "conflicting_duplicate", row("i", 9).strip())]
    assert counts(found) == [("a.csv", 2, 1, 0, 1), ("b.csv", 2, 2, 0, 0)]


def test_at_one_time_the_first_file_and_then_the_first_row_wins(landing):
    landing.write("a.csv", HEADER + row("i", 0, 1.0) + row("i", 0, 2.0))
    landing.write("b.csv", HEADER + row("i", 0, 3.0))
    found = landing.read()
    assert found.accepted["price"].to_list() == [1.0]
    assert found.quarantined.select("file", "row").rows() == [("a.csv", 2), ("b.csv", 1)]


def test_a_copy_of_a_conflicting_row_is_an_exact_duplicate(landing):
    landing.write("a.csv", HEADER + row("i", 0) + row("i", 5) + row("i", 5) + row("i", 0))
    found = landing.read()
    assert counts(found) == [("a.csv", 4, 1, 2, 1)]
    assert found.reasons == [(2, "conflicting_duplicate")]


def test_rows_that_differ_only_in_a_column_the_profile_ignores_are_equal(landing):
    header = HEADER.replace("\n", ",host\n")
    landing.write("a.csv", header + row("i", 0).replace("\n", ",h1\n") + row("i", 0).replace("\n", ",h2\n"))
    assert counts(landing.read()) == [("a.csv", 2, 1, 1, 0)]


def test_rows_that_differ_only_in_a_context_column_conflict(landing):
    landing.write("a.csv", HEADER + row("i", 0, 1) + row("i", 0))
    assert counts(landing.read()) == [("a.csv", 2, 1, 0, 1)]


def test_without_a_key_only_equal_rows_are_removed_and_the_key_is_null(landing):
    rows = ["i,u,1,2024-05-02T00:00:00Z", "i,u,1,2024-05-02T00:00:01Z", "i,u,1,2024-05-02T00:00:00Z", ",u,1,2024-05-02T00:00:00Z"]
    landing.write("a.csv", "\n".join(["id,user,item,time", *rows, ""]), "clicks")
    found = landing.read("clicks")
    assert found.accepted["click_id"].to_list() == [None, None, None]
    assert counts(found) == [("a.csv", 4, 3, 1, 0)]


def test_conflicting_parquet_rows_are_kept_aside_as_json(landing, as_parquet):
    frame = pl.DataFrame({"id": ["o", "o"], "user": "u", "item": 1, "time": "2024-05-02T00:00:00Z", "amount": [2.5, 7.0]})
    landing.write("a.parquet.gz", as_parquet(frame), "purchases")
    found = landing.read("purchases")
    raw = '{"user":"u","item":1,"id":"o","time":"2024-05-02T00:00:00Z","amount":7.0}'
    assert found.quarantined.rows() == [("a.parquet.gz", 2, "conflicting_duplicate", raw)]


def test_an_unreadable_copy_conflicts_with_nothing(landing):
    landing.write("a.csv", HEADER + row("i", 0) + row("i", 0, "cheap"))
    found = landing.read()
    assert found.reasons == [(2, "bad price: 'cheap'")]
    assert counts(found) == [("a.csv", 2, 1, 0, 0)]


def test_events_are_in_the_order_of_time_and_key(landing):
    landing.write("a.csv", HEADER + row("b", 1) + row("a", 2) + row("c", 0) + row("a2", 1))
    assert landing.read().accepted["impression_id"].to_list() == ["c", "a2", "b", "a"]
