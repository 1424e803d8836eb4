"""Each sort of fault, on three rows."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from components.simulate import faults

ROWS = pl.DataFrame({"key": [str(n) for n in range(1000)], "value": range(1000)})


def test_copies_are_added_and_no_row_is_copied_twice():
    log, exact, changed = faults.repeat_rows(np.random.default_rng(1), ROWS, pl.col("value") + 1)
    assert (exact, changed, log.height) == (10, 1, 1011)
    assert log.unique().height == 1001
    assert log["key"].value_counts()["count"].max() == 2


def test_the_rows_of_the_truth_keep_their_order_among_the_copies():
    extra = ROWS[:10].with_columns(pl.col("value") + 5000)
    mixed = faults.mix_in(np.random.default_rng(1), ROWS, extra)
    assert mixed.filter(pl.col("value") < 1000).equals(ROWS)
    assert not mixed[:1000].equals(ROWS)


LINE = '{"click_id":"c1","item_id":"i1","clicked_at":"2024-05-01T00:00:00.000Z"}'


def test_json_is_broken_in_four_ways():
    cut, page, time, missing = (spoil(LINE) for spoil in faults.json_breakers(time="clicked_at", key="item_id"))
    assert LINE.startswith(cut)
    assert page.startswith("<html>")
    assert "2024-02-30" in time
    assert "item_id" not in missing


def test_csv_is_broken_in_four_ways():
    columns = ["order_no", "paid_at", "total"]
    few, many, time, empty = (spoil("o1,2024-05-01T00:00:00Z,3") for spoil in faults.csv_breakers(columns, time="paid_at", key="order_no"))
    assert few == "o1,2024-05-01T00:00:00Z"
    assert many == "o1,2024-05-01T00:00:00Z,3,?"
    assert time == "o1,2024-02-30T25:61:00.000Z,3"
    assert empty == ",2024-05-01T00:00:00Z,3"


def test_typed_rows_lose_a_key_or_their_time_or_come_from_the_future():
    log = pl.DataFrame({"id": [f"{n}" for n in range(200)], "at": [datetime(2024, 5, 1, tzinfo=UTC)] * 200})
    broken, count = faults.break_rows(np.random.default_rng(1), log, time="at", keys=("id",))
    assert (count, broken.height) == (4, 204)
    assert broken["id"].null_count() == 2
    assert broken["at"].null_count() == 1
    assert broken.filter(pl.col("at").dt.year() == 2034).height == 1


@pytest.mark.parametrize(("rows", "expected"), [(0, 0), (49, 0), (50, 1), (800, 16), (100_000, 16)])
def test_small_logs_get_few_broken_lines(rows, expected):
    lines, count = faults.break_lines(np.random.default_rng(1), ["a,b"] * rows, (lambda line: line[:1],) * 4)
    assert (count, len(lines)) == (expected, rows + expected)


def test_a_log_in_chunks_has_the_faults_of_the_whole():
    rng, log = np.random.default_rng(1), ROWS.with_columns(at=datetime(2024, 5, 1, tzinfo=UTC))
    chunks = [(start, log[start : start + 37]) for start in range(0, 1000, 37)]
    repeats = [faults.repeat_rows(rng, chunk, pl.col("value") + 1, before=start) for start, chunk in chunks]
    assert (sum(exact for _, exact, _ in repeats), sum(changed for _, _, changed in repeats)) == (10, 1)
    lines = [
        faults.break_lines(rng, ["a,b"] * chunk.height, [lambda _, n=n: str(n) for n in range(4)], before=start) for start, chunk in chunks
    ]
    assert sorted(line for chunk, _ in lines for line in chunk if line != "a,b") == sorted("0123" * 4)
    broken = [faults.break_rows(rng, chunk, time="at", keys=("key",), before=start) for start, chunk in chunks]
    assert sum(count for _, count in broken) == 12
    assert sum(chunk["key"].null_count() for chunk, _ in broken) == 4


def test_counts_of_chunks_add_up_and_know_the_events_before_the_faults():
    both = faults.Written(103, 2, 1, 0) + faults.Written(55, 0, 1, 4)
    assert both == faults.Written(158, 2, 2, 4)
    assert both.events == 150
