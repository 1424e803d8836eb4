"""Who gets a row, when, which one, and who loses it."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from components.checkpoints import Checkpoint
from components.model.encoding import Layout, encode, read
from components.model.hashing import hash_distinct
from components.model_fields import ModelField
from components.train.admission import Admission, Admitted, Pool

FIRST = datetime(2024, 5, 1, 12, tzinfo=UTC)


def layout_of(pool=0, **policy):
    fields = [
        {"name": "item", "kind": "id", "exact": True, "buckets": 100, **policy},
        {"name": "seen", "kind": "list", "table": "item"},
        {"name": "user", "kind": "id", "buckets": 50},
    ]
    return Layout(tuple(ModelField.model_validate(field) for field in fields), {"item": 2, "user": 50}, pool)


def rows_of(items, *, day=0, seen=None, users=None):
    schema = {"item": pl.String, "seen": pl.List(pl.String), "user": pl.String, "exposed_at": pl.Datetime("us", "UTC")}
    columns = {"item": items, "seen": seen or [[]] * len(items), "user": users or ["u"] * len(items)}
    return pl.DataFrame({**columns, "exposed_at": [FIRST + timedelta(days=day)] * len(items)}, schema=schema)


class Days:
    """An admission that is shown chunk after chunk."""

    def __init__(self, most_waiting=1000, **policy):
        self.layout, self.chunks = layout_of(**policy), 0
        self.admission = Admission(None, self.layout, most_waiting=most_waiting)

    def show(self, items, **chunk):
        rows = rows_of(items, **chunk)
        admitted = self.admission.admit(read(rows, self.layout), rows, number=self.chunks)
        self.chunks += 1
        return sum(len(ids.keys_U) for ids in admitted)

    def known(self, *items):
        """Return the items that have a row, with it."""
        rows = self.admission.known["item"].find(hash_distinct(pl.Series(items), table="item").hashes_D)
        return {item: row for item, row in zip(items, rows.tolist(), strict=True) if row >= 0}

    @property
    def facts(self):
        return {facts["field"]: facts for facts in self.admission.facts()}


def test_an_id_is_admitted_with_the_chunk_in_which_it_has_been_seen_often_enough():
    days = Days(admit_after=3)
    days.show(["a", "a", "b", None])
    assert days.known("a", "b") == {}
    days.show(["b", "c"], seen=[["a", "c"], ["c", None]])  # entries of lists count as well
    assert days.known("a", "b", "c").keys() == {"a", "c"}
    encoded = encode(rows_of(["a", "b", None, "c"], seen=[["b"], ["a", "c"], [], []]), days.layout, days.admission.known)
    a, c = (52 + row for row in days.known("a", "c").values())  # behind the items' own two rows and the users' 50
    assert encoded.ids_NS[:, 0].tolist() == [a, 1, 0, c]
    assert encoded.values_E.tolist() == [1, a, c]


def test_the_order_within_a_chunk_decides_nothing():
    items = [f"i{number % 37}" for number in range(200)]
    one, other = Days(admit_after=3, buckets=20), Days(admit_after=3, buckets=20)
    one.show(items)
    other.show(items[::-1])
    names = sorted(set(items))
    assert one.known(*names) == other.known(*names)
    assert len(one.known(*names)) == 20  # as many as there are buckets


def test_rows_that_are_wanted_by_more_ids_go_to_those_seen_most_often():
    days, items = Days(buckets=3), [f"i{number}" for number in range(9)]
    days.show([item for number, item in enumerate(items) for _ in range(number + 1)])
    assert days.known(*items).keys() == set(items[-3:])
    assert days.facts["item"]["waiting"] == 6


def test_an_id_that_stays_away_expires_and_its_row_is_given_out_again():
    days = Days(expire_days=2)
    days.show(["a", "b", "c"], day=0)
    freed = days.known("a")["a"]
    days.show(["b"], day=1)
    days.show(["c"], day=4)  # the third day that is trained on, whatever the calendar says
    assert days.known("a", "b", "c").keys() == {"a", "b", "c"}
    days.show(["c", "c"], day=5)
    assert days.known("a", "b", "c").keys() == {"b", "c"}
    assert (days.facts["item"]["evicted"], days.facts["item"]["ids"]) == (1, 2)
    days.show(["d"], day=5)
    assert days.known("d") == {"d": freed}
    assert days.admission.pool.rows == 3
    days.show(["e"], day=5)
    assert days.known("e") == {"e": 3}


def test_an_id_expires_before_the_chunk_that_brings_it_back():
    days = Days(expire_days=1, admit_after=2)
    days.show(["a", "a"], day=0)
    days.show(["b"], day=1)
    days.show(["a", "b"], day=2)
    assert days.known("a", "b").keys() == {"b"}  # b has been waiting since the day before
    days.show(["a"], day=2)
    assert days.known("a").keys() == {"a"}


def test_an_id_that_waits_expires_too():
    days = Days(expire_days=1, admit_after=2)
    days.show(["a"], day=0)
    days.show(["b"], day=1)
    days.show(["c"], day=2)
    assert days.facts["item"]["waiting"] == 2
    days.show(["a"], day=2)
    assert days.known("a") == {}


def test_without_a_time_to_live_nothing_expires():
    days = Days()
    days.show(["a"], day=0)
    for day in range(1, 40):
        days.show(["b"], day=day)
    assert days.known("a", "b").keys() == {"a", "b"}


def test_rows_of_an_earlier_day_do_not_turn_time_back():
    days = Days(expire_days=1)
    days.show(["a"], day=3)
    days.show(["a", "b"], day=1)
    days.show(["c"], day=4)
    assert days.known("a", "b", "c").keys() == {"a", "b", "c"}


def test_the_ids_that_wait_are_bounded_by_the_settings():
    days = Days(admit_after=5, most_waiting=8)
    days.show([f"i{number}" for number in range(8)])
    assert days.facts["item"]["waiting"] == 8
    days.show(["i0", "i0", "i1", "new"], day=1)  # of nine i0, i1, the latest and three others are kept
    assert (days.facts["item"]["waiting"], days.facts["item"]["dropped"]) == (6, 3)
    days.show(["i0", "i0", "i1", "i1", "i1", "new", "new", "new", "new"], day=1)
    assert days.known("i0", "i1", "new").keys() == {"i0", "i1", "new"}


def test_counts_are_told_by_field():
    days = Days(admit_after=2)
    users = [f"u{number}" for number in range(4)]
    days.show(["a", "a", "b", None], seen=[["a", "c"], [], ["d"], []], users=users)
    item, seen, user = days.facts["item"], days.facts["seen"], days.facts["user"]
    assert (item["entries"], item["unknown_share"], seen["entries"], seen["unknown_share"]) == (3, 1 / 3, 3, 2 / 3)
    assert (item["admitted"], item["evicted"], item["ids"], item["waiting"], item["collision_share"]) == (1, 0, 1, 3, None)
    assert (seen["table"], seen["admitted"]) == ("item", None)
    rows = encode(rows_of(["a"] * 4, users=users), days.layout, days.admission.known).ids_NS[:, 1]
    assert (user["collision_share"], user["unknown_share"]) == ((len(set(rows.tolist())) - 1) / 49, None)


def test_a_chunk_without_ids_changes_nothing():
    days = Days()
    days.show(["a"])
    assert days.show([None, None], users=[None, None]) == 0
    assert days.facts["item"]["ids"] == 1
    assert (days.facts["user"]["entries"], days.facts["user"]["collision_share"]) == (1, 0)


def test_the_collision_share_is_the_share_of_ids_that_share_a_row():
    names = pl.Series([f"u{number}" for number in range(40)])
    days = Days()
    days.show(["a"] * 40, users=names.to_list())
    rows = encode(rows_of(["a"] * 40, users=names.to_list()), days.layout, days.admission.known).ids_NS[:, 1].tolist()
    beside = np.mean([Counter(rows)[row] > 1 for row in rows])
    assert days.facts["user"]["collision_share"] == pytest.approx(beside, abs=0.12)  # 40 ids in 49 rows


def test_what_is_saved_goes_on_as_if_it_had_not_been():
    random = np.random.default_rng(5)
    chunks = [([f"i{item}" for item in random.zipf(1.3, 60) % 90], day) for day in range(12)]
    whole, parts = (Days(admit_after=2, expire_days=2, buckets=30, most_waiting=12) for _ in range(2))
    for items, day in chunks:
        whole.show(items, day=day)
        parts.show(items, day=day)
        model, state = parts.admission.tensors()
        layout = layout_of(parts.admission.pool.rows, admit_after=2, expire_days=2, buckets=30)
        parts.admission = Admission(Checkpoint(model, state, {}), layout, most_waiting=12)
    assert whole.admission.counts.evicted["item"] > 20
    for mine, theirs in zip(whole.admission.tensors(), parts.admission.tensors(), strict=True):
        assert mine.keys() == theirs.keys()
        assert all(mine[name].equal(theirs[name]) for name in mine)


def test_a_pool_gives_out_its_lowest_rows_first_and_then_grows():
    pool = Pool(5, np.array([0, 3], np.int32))
    assert pool.take(2).tolist() == [1, 2]
    pool.give_back(np.array([0], np.int32))
    assert pool.take(4).tolist() == [0, 4, 5, 6]
    assert pool.rows == 7


def test_a_new_row_is_drawn_from_the_seed_and_the_id_alone():
    keys = np.array([3, 2**63 + 5, 7], np.uint64)
    whole = Admitted(keys, np.arange(3, dtype=np.int32)).values(1, width=4000, std=0.01)
    alone = Admitted(keys[1:2], np.zeros(1, np.int32)).values(1, width=4000, std=0.01)
    assert whole[1].equal(alone[0])
    assert whole.std(dim=1).tolist() == pytest.approx([0.01] * 3, rel=0.05)
    assert whole.mean(dim=1).tolist() == pytest.approx([0] * 3, abs=0.0006)
    assert not whole[1].equal(Admitted(keys[1:2], np.zeros(1, np.int32)).values(2, width=4000, std=0.01)[0])
