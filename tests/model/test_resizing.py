"""Rows of hashed tables that were resized, against a plain loop."""

import numpy as np
import polars as pl
import pytest

from components.model.encoding import Layout, Origin, encode
from components.model.hashing import hash_crosses, hash_ids
from components.model.resizing import pairs, row_of

HASHES = np.random.default_rng(3).integers(0, 2**64, 3000, dtype=np.uint64)
IDS = pl.Series([f"id {number}" for number in range(500)])


def row_by_hand(hash_: int, rows: int, first: int) -> int:
    """Halve the span until the place is one that the table has."""
    span = first - 1
    while span < rows - 1:
        span *= 2
    while hash_ % span >= rows - 1:
        span //= 2
    return 1 + hash_ % span


@pytest.mark.parametrize(("rows", "first"), [(2, 2), (3, 2), (9, 2), (100, 100), (101, 100), (150, 100), (199, 100), (200, 100), (1000, 7)])
def test_a_row_is_that_of_linear_hashing_and_never_that_of_a_missing_id(rows, first):
    found = row_of(HASHES, rows=rows, first=first)
    assert found.tolist() == [row_by_hand(hash_, rows, first) for hash_ in HASHES.tolist()]
    assert (found.min(), found.max()) == (1, rows - 1)


@pytest.mark.parametrize("first", [2, 7, 100])
@pytest.mark.parametrize("were", [100, 101, 150, 400])
@pytest.mark.parametrize("rows", [100, 130, 199, 200, 777])
def test_every_id_is_in_a_row_that_is_paired_with_the_one_where_it_was(first, were, rows):
    before, after = row_of(HASHES, rows=were, first=first), row_of(HASHES, rows=rows, first=first)
    now, then = pairs(rows, were, first=first)
    assert set(zip(after.tolist(), before.tolist(), strict=True)) <= set(zip(now.tolist(), then.tolist(), strict=True))
    assert (0, 0) in zip(now, then, strict=True)
    assert len(now) == max(rows, were)


def test_a_table_can_become_smaller_than_it_ever_was_by_a_divisor_and_else_is_spread_anew():
    before, after = row_of(HASHES, rows=150, first=100), row_of(HASHES, rows=34, first=34)
    now, then = pairs(34, 150, first=100)  # 99 = 3 x 33
    assert set(zip(after.tolist(), before.tolist(), strict=True)) <= set(zip(now.tolist(), then.tolist(), strict=True))
    assert [len(rows) for rows in pairs(35, 150, first=100)] == [0, 0]


def test_fields_find_their_rows_by_the_origin_of_their_table(make_profile):
    fields = [
        {"name": "thing", "kind": "id", "buckets": 70},
        {"name": "shown", "kind": "id", "buckets": 20},
        {"name": "pair", "kind": "cross", "of": ["thing", "shown"], "buckets": 89},
        {"name": "things", "kind": "list", "table": "thing"},
    ]
    origins = (Origin("thing", "item", 50), Origin("pair", "pair", 45))
    plain = Layout.of(make_profile(fields))
    layout = Layout(plain.fields, plain.vocabularies, origins=origins)
    rows = pl.DataFrame({"thing": IDS, "shown": IDS, "things": IDS.reshape((500, 1)).arr.to_list()})
    encoded = encode(rows, layout)
    items = hash_ids(IDS, table="item", rows=70, first=50)
    assert (encoded.ids_NS[:, 0] == items).all()
    assert (encoded.values_E == items).all()
    assert (encoded.ids_NS[:, 1] == 70 + hash_ids(IDS, table="shown", rows=20)).all()
    assert set((encoded.ids_NS[:, 2] - 90 - hash_crosses([IDS, IDS], table="pair", rows=45)).tolist()) == {0, 44}  # stayed, or parted
