"""Work done ahead by another thread."""

import threading
import time
from collections.abc import Iterator

import pytest

from components.ahead import ahead


def made(begun: list[int], count: int = 100) -> Iterator[int]:
    for item in range(count):
        begun.append(item)
        yield item


def settled(begun: list[int]) -> int:
    """Return how many items are begun once no more are."""
    before = -1
    while len(begun) != before:
        before = len(begun)
        time.sleep(0.05)
    return before


def threads() -> int:
    return sum(thread.name.startswith("ahead") for thread in threading.enumerate())


@pytest.mark.parametrize("depth", [1, 3])
def test_items_come_in_their_order_and_no_more_than_the_depth_are_made_ahead(depth):
    begun: list[int] = []
    items = ahead(made(begun), depth=depth)
    assert begun == []
    for number in range(5):
        assert next(items) == number
        assert settled(begun) == number + 1 + depth
    assert list(items) == list(range(5, 100))
    assert threads() == 0


def test_an_error_is_raised_where_its_item_is_asked_for():
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    items = ahead(failing(), depth=8)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(items)
    assert threads() == 0


def test_closing_ends_the_thread_and_begins_no_further_item():
    begun: list[int] = []
    items = ahead(made(begun), depth=2)
    next(items)
    settled(begun)
    items.close()
    assert (begun, threads()) == ([0, 1, 2], 0)


def test_nothing_is_no_items():
    assert list(ahead([])) == []
    assert threads() == 0
