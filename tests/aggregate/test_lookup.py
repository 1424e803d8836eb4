"""Rows found by key."""

import random
from typing import Any

import polars as pl
import pytest

from components.aggregate.lookup import Lookup

SCHEMA = {"user_id": pl.String, "category": pl.String}


def keys(*rows: tuple[str | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


class Clashing(pl.DataFrame):
    """Keys of which the first seeds hash all alike."""

    def hash_rows(self, seed: int = 0, *rest: Any) -> pl.Series:
        hashes = super().hash_rows(seed, *rest)
        return hashes if seed > 2 else hashes * 0


@pytest.mark.parametrize("seed", range(3))
def test_each_key_is_found_where_it_stands(seed: int) -> None:
    chance = random.Random(seed)
    known = [(f"u{number}", chance.choice("ab")) for number in chance.sample(range(500), 200)]
    asked = [(f"u{chance.randrange(500)}", chance.choice("ab")) for _ in range(1000)]
    places = {key: place for place, key in enumerate(known)}
    assert Lookup.of(keys(*known)).find(keys(*asked)).to_list() == [places.get(key) for key in asked]


def test_nothing_is_found_for_an_unknown_key_or_part_of_a_key_or_a_null() -> None:
    lookup = Lookup.of(keys(("u", "a"), ("v", None), (None, None)))
    assert lookup.find(keys(("u", "a"), ("u", "b"), ("a", "u"), ("v", None), (None, None))).to_list() == [0, None, None, None, None]
    assert Lookup.of(keys()).find(keys(("u", "a"), (None, None))).to_list() == [None, None]
    assert lookup.find(keys()).to_list() == []


def test_another_seed_parts_keys_whose_hashes_are_equal() -> None:
    lookup = Lookup.of(Clashing(keys(("u", "a"), ("v", "a"), ("w", None))))
    assert lookup.seed == 3
    assert lookup.find(keys(("v", "a"), ("u", "a"))).to_list() == [1, 0]


def test_a_key_whose_hash_is_that_of_another_is_not_taken_for_it() -> None:
    lookup = Lookup.of(keys(("u", "a")))
    hashes = keys(("x", "x")).hash_rows(seed=lookup.seed).to_numpy()
    assert Lookup(lookup.keys, lookup.seed, hashes, lookup.rows).find(keys(("x", "x"))).to_list() == [None]


@pytest.mark.parametrize("repeated", [("u", "a"), (None, "a"), (None, None)])
def test_repeated_key_is_refused_and_named(repeated: tuple[str | None, str | None]) -> None:
    with pytest.raises(ValueError, match=f"1:1.*{repeated[1]}"):
        Lookup.of(keys(("v", "a"), repeated, ("w", "b"), repeated))
