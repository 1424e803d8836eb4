import polars as pl
import pytest

from components.model.stream import read_chunks


def test_chunks_are_exact_and_in_order_whatever_the_blocks_of_the_source(tmp_path):
    for number in range(3):
        ids = range(number * 1000, (number + 1) * 1000)
        pl.DataFrame({"id": ids, "key": [i % 7 for i in ids]}).write_parquet(tmp_path / f"{number}.parquet", row_group_size=130)
    names = pl.LazyFrame({"key": range(7), "name": list("abcdefg")})
    rows = pl.scan_parquet(tmp_path / "*.parquet").join(names, on="key", how="left", maintain_order="left", validate="m:1")
    chunks = list(read_chunks(rows.filter(pl.col("id") != 5), 700))
    assert [chunk.height for chunk in chunks] == [700, 700, 700, 700, 199]
    assert pl.concat(chunks)["id"].to_list() == [i for i in range(3000) if i != 5]


@pytest.mark.parametrize(("rows", "heights"), [(0, []), (1, [1]), (4, [4]), (5, [4, 1])])
def test_the_last_chunk_is_the_rest(rows, heights):
    assert [chunk.height for chunk in read_chunks(pl.LazyFrame({"id": range(rows)}), 4)] == heights
