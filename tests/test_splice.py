"""Files put together from others' pages have the bytes that Polars writes of the same rows."""

import io
import random
from datetime import UTC, datetime, timedelta
from typing import Literal

import polars as pl
import pyarrow.parquet as pq
import pytest

from components.splice import Part, can_splice, splice
from components.thrift import read_struct, write_struct

ROWS, GROUP = 1000, 64
START = datetime(2024, 5, 1, tzinfo=UTC)


def make_rows(seed: int) -> pl.DataFrame:
    """Return columns of every type that tables have: repeating and not, with and without nulls, all null, constant."""
    draw = random.Random(seed)
    numbers = range(ROWS)
    return pl.DataFrame(
        {
            "name": [f"{draw.random()}" for _ in numbers],
            "user": [draw.choice([None, "u1", "u2", "a user with a long name"]) for _ in numbers],
            "at": [START + timedelta(microseconds=draw.randrange(10**9)) for _ in numbers],
            "price": [draw.choice([None, float("nan"), draw.random()]) for _ in numbers],
            "position": [draw.choice([None, 1, 2]) for _ in numbers],
            "clicked": [draw.random() < 0.1 for _ in numbers],
            "never": pl.Series([None] * ROWS, dtype=pl.Datetime("us", "UTC")),
            "through": [START] * ROWS,
            "list": [[draw.random()] * draw.randrange(3) for _ in numbers],
        }
    )


def encode(rows: pl.DataFrame, group: int = GROUP, compression: Literal["zstd", "lz4"] = "zstd") -> io.BytesIO:
    file = io.BytesIO()
    rows.lazy().sink_parquet(file, engine="streaming", maintain_order=True, row_group_size=group, compression=compression)
    return file


def open_parts(*files: io.BytesIO) -> list[Part]:
    return [Part.open(file) for file in files]


@pytest.mark.parametrize("seed", range(8))
def test_spliced_file_has_the_bytes_of_a_written_one(seed: int) -> None:
    draw, rows = random.Random(seed), make_rows(seed).head(ROWS - 100 * seed).drop("list")
    order = draw.sample(rows.columns, len(rows.columns))
    here = [name for name in rows.columns if draw.random() < 0.5] or ["at"]
    parts = open_parts(encode(rows.select(here)), encode(rows.drop(here)))
    target = io.BytesIO()
    assert splice(Part.open(encode(rows.select(order).clear())), parts, target) == rows.height
    assert target.getvalue() == encode(rows.select(order)).getvalue()


def test_columns_not_asked_for_are_left_out_and_the_last_part_stands() -> None:
    rows, target = make_rows(1).drop("list"), io.BytesIO()
    wanted = rows.select("at", pl.col("user").str.to_uppercase())
    parts = open_parts(encode(rows), encode(wanted.select("user")))
    splice(Part.open(encode(wanted.clear())), parts, target)
    assert target.getvalue() == encode(wanted).getvalue()
    assert pq.read_table(target).column("user").to_pylist() == wanted["user"].to_list()


def test_what_would_give_other_bytes_is_refused() -> None:
    rows = make_rows(2).drop("list")
    like, left, right = Part.open(encode(rows.clear())), encode(rows.drop("price")), encode(rows.select("price"))
    assert can_splice(like, open_parts(left, right))
    other_types = rows.select(pl.col("price").cast(pl.Float32))
    others = {
        "a column missing": [left],
        "a nested column": [left, encode(make_rows(2).select("price", "list"))],
        "other codec": [left, encode(rows.select("price"), compression="lz4")],
        "other groups": [left, encode(rows.select("price"), 100)],
        "other rows": [left, encode(rows.select("price").head(900))],
        "other type": [left, encode(other_types)],
    }
    for parts in others.values():
        assert not can_splice(like, open_parts(*parts))
        with pytest.raises(ValueError, match="splice: expected parts of one writer that have the columns wanted in equal row groups"):
            splice(like, open_parts(*parts), io.BytesIO())


def test_file_of_another_writer_is_refused() -> None:
    rows, other = make_rows(3).select("price"), io.BytesIO()
    pq.write_table(rows.to_arrow(), other, row_group_size=GROUP, compression="zstd", write_page_index=True)
    assert not can_splice(Part.open(encode(rows.clear())), open_parts(other))


def test_footers_are_written_back_to_the_same_bytes() -> None:
    raw = encode(make_rows(4)).getvalue()
    size = int.from_bytes(raw[-8:-4], "little")
    footer = raw[-8 - size : -8]
    assert write_struct(read_struct(footer)) == footer
