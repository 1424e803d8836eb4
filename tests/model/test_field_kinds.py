"""Vocabularies, crosses, boundaries and fills: what a profile can declare beside hashed ids and numbers on a log scale."""

import hashlib
import json
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from components.errors import SettingsError
from components.model.encoding import Layout, encode
from components.model.hashing import hash_crosses
from components.model.restore import describe
from components.model_settings import Model

OS = {"name": "os", "kind": "id", "values": ["ios", "android"]}
USED = {"name": "used", "kind": "list", "table": "os", "side": "user", "fill": True}
USER, CITY = ({"name": name, "kind": "id", "buckets": 30, "side": "user"} for name in ("user", "city"))
TRIPLE = {"name": "triple", "kind": "cross", "of": ["os", "user", "city"], "buckets": 1000}
PRICE = {"name": "price", "kind": "number", "bucketing": "quantile", "boundaries": [-1, 0, 10]}
SCHEMA = {"os": pl.String, "used": pl.List(pl.String), "user": pl.Int64, "city": pl.String, "price": pl.Float64}
ROWS = [
    ("ios", ["android", None, "web"], 1, "Paris", -5.0),
    ("android", [], 2, "Lima", 10.0),
    ("web", None, 3, "", 0.5),
    (None, [None], None, "Paris", None),
    ("", ["ios"], 1, None, float("nan")),
]


@pytest.fixture
def rows() -> pl.DataFrame:
    return pl.DataFrame(ROWS, schema=SCHEMA, orient="row")


def test_a_declared_value_has_its_place_and_any_other_the_last_row(rows, make_profile):
    assert encode(rows, Layout.of(make_profile([OS]))).ids_NS.ravel().tolist() == [1, 2, 3, 0, 3]


def test_values_that_are_no_text_are_declared_as_their_text(make_profile):
    layout = Layout.of(make_profile([{"name": "stars", "kind": "id", "values": ["5", "-1", "true"]}]))
    for values, expected in (([5, -1, 4, None], [1, 2, 4, 0]), ([True, False, None], [3, 4, 0])):
        assert encode(pl.DataFrame({"stars": values}), layout).ids_NS.ravel().tolist() == expected


def test_a_list_that_shares_the_table_uses_its_values_also_where_their_owner_is_of_the_other_side(rows, make_profile):
    layout = Layout.of(make_profile([OS, {**USED, "fill": False}]))
    for chosen in (layout, layout.of_side("user")):
        encoded = encode(rows, chosen)
        assert encoded.values_E.tolist() == [2, 3, 1]
        assert np.diff(encoded.offsets_NL).tolist() == [2, 0, 0, 0, 1]


def test_a_filled_list_without_entries_is_one_missing_entry(rows, make_profile):
    other = {"name": "seen", "kind": "list", "column": "used", "buckets": 40}
    encoded = encode(rows, Layout.of(make_profile([OS, USED, other])))
    found = [encoded.values_E[first:last].tolist() for first, last in pairwise(encoded.offsets_NL.tolist())][::2]
    assert found == [[2, 3], [0], [0], [0], [1]]
    assert np.diff(encoded.offsets_NL)[1::2].tolist() == [2, 0, 0, 0, 1]
    assert encode(rows[1:4], Layout.of(make_profile([OS, USED]))).values_E.tolist() == [0, 0, 0]


def test_a_cross_reads_the_columns_of_its_parts_and_is_missing_where_one_is(rows, make_profile):
    pair = {"name": "pair", "kind": "cross", "of": ["town", "user"], "buckets": 500}
    town = {"name": "town", "kind": "id", "column": "city", "buckets": 30}
    found = encode(rows, Layout.of(make_profile([OS, USER, CITY, TRIPLE, town, pair]))).ids_NS
    texts = {name: rows[name].cast(pl.String) for name in ("os", "user", "city")}
    triples = hash_crosses([texts["os"], texts["user"], texts["city"]], table="triple", rows=1000)
    assert (found[:, 3] - 64).tolist() == triples.tolist()
    assert triples.astype(bool).tolist() == [True, True, True, False, False]
    assert (found[:, 5] - 1094).tolist() == hash_crosses([texts["city"], texts["user"]], table="pair", rows=500).tolist()


def test_ages_fall_between_boundaries_in_seconds(make_profile):
    ages = {"name": "ages", "kind": "list", "ages": True, "bucketing": "quantile", "boundaries": [60, 3600], "side": "user"}
    exposed_at = datetime(2024, 5, 1, 12, tzinfo=UTC)
    instants = [int(exposed_at.timestamp() * 1e6) - int(age * 1e6) for age in (-1, 59.9, 60, 3599, 3600)]
    frame = pl.DataFrame({"ages": [[*instants, None]], "exposed_at": [exposed_at]})
    assert encode(frame, Layout.of(make_profile([ages]))).values_E.tolist() == [1, 1, 2, 2, 3]


def test_any_split_of_the_rows_encodes_alike(rows, make_profile):
    layout = Layout.of(make_profile([OS, USED, USER, CITY, TRIPLE, PRICE]))
    many = pl.concat([rows] * 3)
    whole = encode(many, layout)
    assert (whole.ids_NS[:5, 4] - layout.offsets["price"]).tolist() == [1, 4, 3, 0, 0]
    for size in (1, 2, 4):
        for first in range(0, many.height, size):
            part, same = encode(many[first : first + size], layout), whole.slice(first, min(first + size, many.height))
            for name in ("ids_NS", "values_E", "offsets_NL"):
                assert np.array_equal(getattr(part, name), getattr(same, name))


def test_one_side_reads_its_own_columns_and_those_of_its_crosses(make_profile):
    mine = {"name": "mine", "kind": "cross", "of": ["user", "city"], "side": "user"}
    layout = Layout.of(make_profile([OS, USER, CITY, TRIPLE, mine]))
    assert layout.of_side("user").columns == ["user", "city"]
    assert layout.of_side("item").columns == ["os", "user", "city"]
    assert [field.name for field in layout.of_side("user").singles] == ["user", "city", "mine"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"os": ["ios"], "user": [1]}, "field city: column city is not in the samples"),
        ({"os": ["ios"], "user": [1], "city": [["Paris"]]}, "field city: kind id cannot read column city"),
    ],
)
def test_a_part_that_cannot_be_read_is_named(make_profile, frame, message):
    with pytest.raises(SettingsError, match=message):
        encode(pl.DataFrame(frame), Layout.of(make_profile([OS, USER, CITY, TRIPLE])))
    with pytest.raises(SettingsError, match=message.replace("field city", "field triple").replace("kind id", "kind cross")):
        encode(pl.DataFrame(frame), Layout.of(make_profile([OS, {**USER, "side": "item"}, CITY, TRIPLE])).of_side("item"))


def test_fields_without_these_keys_mean_what_saved_checkpoints_were_trained_with(samples, profile):
    encoded, recorded = encode(samples, Layout.of(profile)), describe(Layout.of(profile), Model())
    written = json.dumps({name: recorded[name] for name in ("fields", "vocabularies")})
    rows = b"".join(array.tobytes() for array in (encoded.ids_NS, encoded.values_E, encoded.offsets_NL))
    assert hashlib.sha256(rows).hexdigest()[:16] == "f153337d1b7a6c9a"
    assert hashlib.sha256(written.encode()).hexdigest()[:16] == "2f73bf87cc7eb9b0"


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"kind": "id", "admit_after": 2, "expire_days": 7}, "admit_after, expire_days: expected exact = true beside them; add it"),
        ({"kind": "number", "exact": True}, "exact: expected an id, a list of ids or a cross, without values"),
        ({"kind": "id", "exact": True, "values": ["a"]}, "exact: expected an id, a list of ids or a cross, without values"),
        ({"kind": "id", "exact": True, "table": "os"}, "exact: expected it on the field that owns table os; move it there"),
    ],
)
def test_an_exact_table_is_declared_where_it_is_owned(make_profile, field, message):
    with pytest.raises(ValueError, match=message):
        make_profile([OS, {"name": "item", **field}])


def test_an_exact_table_has_two_rows_of_its_own_and_older_fields_say_nothing_of_it(make_profile):
    profile = make_profile([{"name": "item", "kind": "id", "exact": True, "buckets": 900}, {"name": "user", "kind": "id", "buckets": 70}])
    assert profile.vocabularies == {"item": 2, "user": 70}
    assert [set(field.model_dump()) & {"exact", "admit_after", "expire_days"} for field in profile.fields] == [{"exact"}, set()]
