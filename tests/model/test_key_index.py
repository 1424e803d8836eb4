import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.model.key_index import KeyIndex

KEYS = st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**64 - 1, 2**64 - 2, 2**54, 2**54 - 1]), unique=True, max_size=40)


def keys_of(numbers):
    return np.array(numbers, np.uint64)


@given(KEYS, KEYS)
def test_each_key_has_the_place_at_which_it_was_added(first, second):
    index = KeyIndex(keys_of(first))
    added = [key for key in second if key not in first]
    index.add(keys_of(added))
    everyone = first + added
    assert index.keys.tolist() == everyone
    assert len(index) == len(everyone)
    places = {key: place for place, key in enumerate(everyone)}
    asked = [*second, *first, 7, 2**63]
    assert index.find(keys_of(asked)).tolist() == [places.get(key, -1) for key in asked]


def test_nothing_is_found_where_there_is_nothing():
    assert KeyIndex(keys_of([])).find(keys_of([0, 5])).tolist() == [-1, -1]
    assert KeyIndex(keys_of([5])).find(keys_of([])).tolist() == []


@pytest.mark.parametrize("shift", [0, 40])
def test_keys_that_reach_for_the_same_slots_are_all_found(shift):
    keys = np.arange(3000, dtype=np.uint64) << np.uint64(shift)  # shift 0: all begin at slot 0, and wrap around from the last
    keys = np.concatenate([keys, ~keys])
    index = KeyIndex(keys[:10])
    for first in range(10, len(keys), 599):
        index.add(keys[first : first + 599])
    assert index.find(keys[::-1]).tolist() == list(range(len(keys)))[::-1]
    assert (index.find(keys + np.uint64(4000)) < 0).sum() == len(keys) - np.isin(keys + np.uint64(4000), keys).sum()
