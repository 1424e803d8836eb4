"""Training, saving and scoring with ids that have rows of their own."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch

from components.checkpoints import CheckpointStore
from components.errors import SettingsError
from components.model.encoding import Layout, encode
from components.model.export import export
from components.model.identity import known_ids, rows_by_key
from components.model.restore import as_trained
from components.model.scoring import score
from components.model.standing import standings
from components.train.admission import Admitted
from components.train.faults import fault_of_table
from components.train.learner import Learner, with_room
from components.train.loop import fine_tune

HASHED = '{ name = "item_id", kind = "id", buckets = 400 }'
FIRST, SECOND = date(2024, 5, 1), date(2024, 5, 2)


@pytest.fixture
def make_exact(make_settings, tmp_path):
    """Return a maker of settings whose items are exact."""
    make_settings()
    profile = (tmp_path / "profile.toml").read_text()

    def make(policy="", **values):
        exact = f'{{ name = "item_id", kind = "id", exact = true, buckets = 400{policy} }}'
        return make_settings(profile.replace(HASHED, exact), **values)

    return make


@pytest.fixture
def make_days(make_samples):
    """Return a maker of samples, 300 of each of some days."""

    def make(*days, seed=1, renamed=None):
        rows = []
        for day in days:
            at = datetime(2024, 5, 1, 9, tzinfo=UTC) + timedelta(days=day)
            own = make_samples(300, seed=seed + day).with_columns(exposed_at=pl.lit(at, pl.Datetime("us", "UTC")))
            rows.append(own.with_columns(item_id=pl.col("item_id").str.replace("item", renamed)) if renamed else own)
        return pl.concat(rows)

    return make


def train(samples, parent, settings):
    return fine_tune(samples.lazy(), parent, profile=settings.profile, settings=settings)


def assert_same_bytes(checkpoint, other):
    for tensors, others in ((checkpoint.model, other.model), (checkpoint.optimizer, other.optimizer)):
        assert tensors.keys() == others.keys()
        for name in tensors:
            assert tensors[name].numpy().tobytes() == others[name].numpy().tobytes(), name


def rows_of(checkpoint, settings, *items):
    """Return the rows of the whole table that items read."""
    layout = as_trained(Layout.of(settings.profile), checkpoint.manifest)
    samples = pl.DataFrame({"user_id": "u", "item_id": items, "clicked_items": [[]] * len(items), "price": 1})
    samples = samples.with_columns(pl.col("clicked_items").cast(pl.List(pl.String)))
    return encode(samples, layout, known_ids(checkpoint.model)).ids_NS[:, 1].tolist()


@pytest.mark.parametrize("model", [{}, {"bottom": "separate_embedding"}])
def test_two_days_in_two_processes_give_the_bytes_of_one(make_exact, make_days, tmp_path, model):
    settings = make_exact(", admit_after = 9, expire_days = 1", model=model, most_waiting=30)
    days = [make_days(0), make_days(1, renamed="other"), make_days(2, 3, renamed="third")]
    whole, store, head = train(pl.concat(days), None, settings), CheckpointStore(tmp_path), None
    for number, day in enumerate(days):
        parent = store.load(head) if head else None
        head = store.save(FIRST + timedelta(days=number), train(day, parent, settings))
    assert_same_bytes(whole, store.load(head))
    (facts,) = [facts for facts in whole.manifest["ids"] if facts["field"] == "item_id"]
    assert min(facts["admitted"], facts["evicted"], facts["waiting"], facts["dropped"]) > 0
    assert whole.manifest["pool"] == len(whole.model["table"]) - 200 - 2 - 64


def test_other_days_leave_the_rows_of_ids_alone_and_new_ids_get_others(make_exact, make_days):
    settings = make_exact()
    parent = train(make_days(0), None, settings)
    items = [f"item{number}" for number in range(60)]
    child = train(make_days(1, renamed="new").with_columns(clicked_items=pl.lit([], pl.List(pl.String))), parent, settings)
    rows, new = rows_of(child, settings, *items), rows_of(child, settings, "new1", "new2", "never")
    assert rows == rows_of(parent, settings, *items)
    assert len({*rows, *new}) == 63
    assert child.model["table"][rows].equal(parent.model["table"][rows])
    assert new[2] == 201  # behind the users: the row of all that is not known
    assert len(child.model["table"]) > len(parent.model["table"])


def test_an_id_that_never_came_scores_as_all_unknown_ones_and_scoring_admits_none(make_exact, make_days):
    settings, samples = make_exact(", admit_after = 2"), make_days(0)
    checkpoint = train(samples, None, settings)
    before = {name: tensor.clone() for name, tensor in checkpoint.model.items()}
    probes = pl.concat([samples[:1]] * 3).with_columns(item_id=pl.Series(["item1", "stranger", "other stranger"]))
    known, one, other = score(probes.lazy(), checkpoint, profile=settings.profile, settings=settings)["pctr"]
    assert one == other != known
    assert all(tensor.equal(before[name]) for name, tensor in checkpoint.model.items())


def test_unknown_ids_teach_the_row_that_they_share(make_exact, make_days):
    settings = make_exact(", admit_after = 1000")
    parent, child = train(make_days(0), None, settings), train(make_days(0, 1), None, settings)
    assert parent.manifest["pool"] == child.manifest["pool"] == 0
    (facts,) = [facts for facts in child.manifest["ids"] if facts["field"] == "item_id"]
    assert (facts["unknown_share"], facts["waiting"]) == (1, 60)
    assert not parent.model["table"][201].equal(child.model["table"][201])


def test_a_freed_row_begins_anew_with_its_optimizer_state(make_exact, make_days):
    settings = make_exact()
    checkpoint = train(make_days(0), None, settings)
    learner = Learner.resume(checkpoint, as_trained(Layout.of(settings.profile), checkpoint.manifest), settings)
    ids = Admitted(np.array([11, 12], np.uint64), np.array([4, 0], np.int32))
    rows = torch.tensor([4, 0]) + 266
    assert (learner.adagrad.accumulator_R[rows] > 0).all()
    learner.renew(ids, seed=3)
    assert learner.adagrad.accumulator_R[rows].tolist() == [0, 0]
    assert learner.network.table[rows].equal(ids.values(3, width=6, std=0.01))
    kept = learner.network.table.clone()
    learner.grow(1000)
    assert learner.network.table.shape == (1266, 6)
    assert learner.network.table[: len(kept)].equal(kept)


def test_growth_keeps_rows_and_copies_seldom():
    rows, places = torch.arange(6.0).view(3, 2), set()
    for count in range(4, 60):
        rows = with_room(rows, count)
        rows[count - 1] = count
        places.add(rows.data_ptr())
    assert rows[:3].equal(torch.arange(6.0).view(3, 2))
    assert rows[3:, 0].tolist() == list(range(4, 60))
    assert len(places) < 14


def test_a_table_that_grows_is_never_in_memory_twice():
    """2 million rows, 96 MB, become 3 million, in a process of its own: the peak is that of those."""
    script = """
import resource
from components.model.memory import zeros
from components.train.learner import with_room
rows, peak = zeros(2_000_000, 12).fill_(1), lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
grown = with_room(rows, 3_000_000)
assert grown[:2_000_000].eq(1).all() and not grown[2_000_000:].any()
print((peak() - before) / rows.nbytes)
"""
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert float(said.stdout) < 0.7


def test_ids_without_the_instants_to_date_them_by_are_refused(make_exact, make_days):
    with pytest.raises(SettingsError, match="exact ids: expected samples with exposed_at"):
        train(make_days(0).drop("exposed_at"), None, make_exact())


def test_rows_are_sliced_by_what_the_model_knows_of_their_ids(make_exact, make_days):
    settings, old, new = make_exact(", admit_after = 2"), make_days(0), make_days(1, renamed="new")
    parent = train(old, None, settings)
    child = train(new, parent, settings)
    items = ["item1", "new1", "stranger", None, "item1"]
    found = standings(make_days(2)[:5].with_columns(item_id=pl.Series(items)).lazy(), child, profile=settings.profile)
    assert found.columns == ["impression_id", "item_id_standing"]  # the users' table is hashed
    assert found["item_id_standing"].to_list() == ["old", "new", "unknown", "missing", "old"]
    found = standings(old[:1].with_columns(item_id=pl.lit("item1")).lazy(), parent, profile=settings.profile)
    assert found["item_id_standing"].to_list() == ["new"]


def test_policies_may_change_from_day_to_day(make_exact, make_days):
    parent = train(make_days(0), None, make_exact())
    child = train(make_days(1), parent, make_exact(", admit_after = 9, expire_days = 30"))
    assert child.manifest["parent"] == parent.version


def plain_hash(table, text):
    state = 0xCBF29CE484222325
    for byte in f"{table}\0{text}".encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
    return state ^ state >> 31


def test_an_exported_program_comes_with_all_that_its_ids_need(make_exact, make_days):
    settings = make_exact(", admit_after = 20")
    checkpoint = train(make_days(0, 1), None, settings)
    _, told = export(checkpoint, profile=settings.profile, options=settings.model)
    known, ids = told["known_ids"]["tables"]["item_id"], rows_by_key(checkpoint.model)
    keys, rows = (ids[f"identity.item_id.{part}"].tolist() for part in ("keys", "rows"))
    assert keys == sorted(keys, key=lambda key: key % 2**64)
    places = dict(zip(keys, rows, strict=True))
    items = [f"item{number}" for number in range(61)]
    hashes = [plain_hash("item_id", item) for item in items]
    signed = [value - 2**64 if value >= 2**63 else value for value in hashes]
    found = [known["first_row_of_known"] + places[key] if key in places else known["unknown_row"] for key in signed]
    assert found == rows_of(checkpoint, settings, *items)
    assert 1 < len(set(found)) < 61
    assert rows_of(checkpoint, settings, None) == [told["tables"]["item_id"]["first_row"]]
    assert list(told["hash"]["examples"]["rows"]) == ["user_id", "price"]


def test_a_row_of_the_pool_that_is_not_finite_is_named(make_exact, make_days):
    settings = make_exact()
    checkpoint = train(make_days(0), None, settings)
    layout = as_trained(Layout.of(settings.profile), checkpoint.manifest)
    broken = checkpoint.model["table"].clone()
    broken[layout.pool_from + 3, 1] = float("nan")
    assert "row 3 of the pool of known ids" in fault_of_table(broken, layout).where
