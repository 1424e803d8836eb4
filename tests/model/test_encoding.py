from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from components.errors import SettingsError
from components.model.bucketing import bucket
from components.model.encoding import Layout, encode
from components.model.hashing import hash_ids
from components.model_fields import ModelField

ITEM, CATEGORY, PRICE = 0, 50, 70  # first row of each vocabulary


def row_of(name: str | None, table: str) -> int:
    rows, first = {"item_id": (50, ITEM), "category": (20, CATEGORY)}[table]
    return first + int(hash_ids(pl.Series([name], dtype=pl.String), table=table, rows=rows)[0])


@pytest.mark.parametrize(
    ("number", "scale", "expected"),
    [
        (None, 1, 0),
        (float("nan"), 1, 0),
        (0, 1, 1),
        (0.18, 1, 1),
        (0.19, 1, 2),  # 2 ** 0.25 = 1.1892
        (1, 1, 5),
        (3, 1, 9),
        (-2, 1, 1),
        (2, 0.5, 5),
        (127, 1, 29),
        (2**20, 1, 31),
        (float("inf"), 1, 31),
    ],
)
def test_numbers_fall_into_quarter_octaves(number, scale, expected):
    assert bucket(pl.Series([number], dtype=pl.Float64), scale, 32).tolist() == [expected]


def test_integers_and_booleans_are_numbers_too():
    assert bucket(pl.Series([0, 1, None, 3]), 1.0, 32).tolist() == [1, 5, 0, 9]
    assert bucket(pl.Series([False, True]), 1.0, 32).tolist() == [1, 5]


def test_single_fields_are_one_matrix_of_rows_in_profile_order(samples, layout):
    expected = [
        [row_of("shoe", "item_id"), row_of("feet", "category"), PRICE + 9],
        [row_of("hat", "item_id"), row_of("head", "category"), PRICE + 1],
        [row_of("glove", "item_id"), row_of("hands", "category"), PRICE + 5],
        [ITEM, CATEGORY, PRICE],
    ]
    assert encode(samples, layout).ids_NS.tolist() == expected


def test_lists_share_the_rows_of_their_id_field_and_padding_is_left_out(samples, layout):
    encoded = encode(samples, layout)
    head, feet = row_of("head", "category"), row_of("feet", "category")
    hat, shoe = row_of("hat", "item_id"), row_of("shoe", "item_id")
    expected = [[feet, head, feet], [shoe], [head], [hat, shoe, hat], [], [], [], []]
    edges = encoded.offsets_NL.tolist()
    assert [encoded.values_E[first:last].tolist() for first, last in pairwise(edges)] == expected


def test_a_slice_is_the_encoding_of_the_sliced_rows(samples, layout):
    whole, part = encode(samples, layout).slice(1, 3), encode(samples[1:3], layout)
    assert whole.ids_NS.tolist() == part.ids_NS.tolist()
    assert whole.values_E.tolist() == part.values_E.tolist()
    assert whole.offsets_NL.tolist() == part.offsets_NL.tolist()


def test_samples_in_another_order_are_the_encoding_of_the_ordered_rows(samples, layout):
    order_N = np.array([2, 0, 3, 1])
    found, expected = encode(samples, layout, order_N=order_N), encode(samples[order_N], layout)
    for name in ("ids_NS", "values_E", "offsets_NL"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("values", [[1, 20, None], [True, False, None], [0.0, -0.0, 1.5, None]])
def test_an_id_of_another_type_is_its_text(values):
    field = ModelField(name="item_id", kind="id", buckets=50)
    texts = [None if value is None else str(value).lower() for value in values]
    layout = Layout((field,), {"item_id": 50})
    found = encode(pl.DataFrame({"item_id": values}), layout).ids_NS
    assert found.tolist() == [[row_of(text, "item_id")] for text in texts]


def test_a_profile_without_lists_encodes(samples):
    layout = Layout((ModelField(name="item_id", kind="id", buckets=50),), {"item_id": 50})
    encoded = encode(samples, layout)
    assert len(encoded.slice(1, 3)) == 2
    assert encode(samples, layout, order_N=np.arange(len(samples))[::-1]).ids_NS.tolist() == encoded.ids_NS[::-1].tolist()
    assert encoded.slice(1, 3).values_E.size == 0


def test_no_rows_encode_to_no_rows(samples, layout):
    encoded = encode(samples.clear(), layout)
    assert (len(encoded), encoded.values_E.size) == (0, 0)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"name": "shop", "kind": "id"}, "field shop: column shop is not in the samples"),
        ({"name": "shop", "kind": "id", "column": "vendor"}, "column vendor is not in the samples"),
        ({"name": "item_id", "kind": "number"}, "kind number cannot read column item_id of type String"),
        ({"name": "item_id", "kind": "list"}, "kind list cannot read column item_id"),
        ({"name": "clicked_items", "kind": "id"}, "kind id cannot read column clicked_items"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(samples, field, message):
    layout = Layout((ModelField.model_validate(field),), {field["name"]: 65536})
    with pytest.raises(SettingsError, match=message):
        encode(samples, layout)


TAGS = {"name": "tags", "kind": "list", "separator": ";", "buckets": 20, "length": 3}


def test_a_separated_text_is_the_list_that_it_spells(make_profile):
    texts = ["a;b;c;d", "b", "", None, ";a;;b;"]
    lists = [["a", "b", "c", "d"], ["b"], [], None, ["a", "b"]]
    read = Layout.of(make_profile([TAGS]))
    found = encode(pl.DataFrame({"tags": texts}), read)
    expected = encode(pl.DataFrame({"tags": lists}), Layout.of(make_profile([{**TAGS, "separator": ""}])))
    assert found.values_E.tolist() == expected.values_E.tolist()
    assert found.offsets_NL.tolist() == expected.offsets_NL.tolist() == [0, 3, 4, 4, 4, 6]
    with pytest.raises(SettingsError, match=r"field tags: kind list cannot read column tags of type List"):
        encode(pl.DataFrame({"tags": lists}), read)


def test_a_fill_stands_for_a_separated_text_without_entries(make_profile):
    encoded = encode(pl.DataFrame({"tags": ["", None, "a"]}), Layout.of(make_profile([{**TAGS, "fill": True}])))
    assert encoded.values_E.tolist()[:2] == [0, 0]
    assert encoded.offsets_NL.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("wrong", [{"kind": "id"}, {"ages": True}, {"beside": "others"}])
def test_a_separator_is_for_lists_of_ids_alone(make_profile, wrong):
    others = {"name": "others", "kind": "list", "buckets": 20}
    with pytest.raises(ValueError, match="separator: expected a list of ids that is beside no other; leave separator out"):
        make_profile([others, {"name": "tags", "kind": "list", "separator": ";", "buckets": 20, **wrong}])
