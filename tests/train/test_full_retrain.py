"""A day of a full retrain: a cold start on many days, of which the chain goes on."""

from datetime import timedelta

import pytest

from components import steps
from components.checkpoints import CheckpointStore
from components.inputs import assembled, days_to_retrain, holdout_start, midnight, retrains, samples_version
from components.records import Records
from components.settings import Settings, altered
from tests.conftest import FIRST, label_days

DAYS = [FIRST + timedelta(days=number) for number in range(3)]


@pytest.fixture
def prepared(shop_settings: Settings) -> Settings:
    """Return settings by which the third day alone is one of a full retrain: its own number divides no smaller one."""
    label_days(shop_settings, DAYS)
    return with_training(shop_settings, full_retrain_every_days=DAYS[2].toordinal())


def with_training(settings: Settings, **chosen: int) -> Settings:
    model = settings.model.model_copy(update={"hidden": (8,)})
    return altered(settings, model=model, train=settings.train.model_copy(update=chosen))


@pytest.mark.parametrize(("number", "expected"), [(0, []), (1, [0, 1, 2, 3, 4, 5, 6, 7]), (7, [4]), (8, [1])])
def test_a_full_retrain_is_due_every_so_many_days_on_sundays_for_seven(shop_settings: Settings, number: int, expected: list[int]):
    settings = with_training(shop_settings, full_retrain_every_days=number)
    due = [offset for offset in range(8) if retrains(FIRST + timedelta(days=offset), settings)]  # the first is a Wednesday
    assert due == expected


def test_a_full_retrain_starts_cold_on_all_days_with_the_labels_known_by_then(prepared: Settings):
    manifests = [CheckpointStore(prepared.root).verify(steps.train(day, prepared)["version"]) for day in DAYS]
    assert [manifest["parent"] for manifest in manifests] == [None, manifests[0]["version"], None]
    assert [manifest["full_retrain"] for manifest in manifests] == [False, False, True]
    rows = assembled(DAYS[2], prepared, first=midnight(DAYS[0]), end=holdout_start(DAYS[2], prepared)).collect()
    full = manifests[2]
    assert (full["rows"], full["conversions"]) == (rows.height, rows["converted"].sum())
    assert full["conversions"] > sum(manifest["conversions"] for manifest in manifests[:2])
    assert full["chunks"] == 1  # since the cold start
    assert full["rows_from"] == midnight(DAYS[0]).isoformat()
    assert full["samples_versions"] == {str(day): samples_version(DAYS[2], day, prepared) for day in DAYS}
    assert Records(prepared.root).require(DAYS[2], "train")["eve"] == manifests[1]["version"]
    assert steps.train(DAYS[2], prepared)["version"] == full["version"]
    last = with_training(prepared, full_retrain_every_days=0)
    assert CheckpointStore(prepared.root).verify(steps.train(DAYS[2], last)["version"])["parent"] == manifests[1]["version"]


def test_a_full_retrain_reads_no_more_days_than_it_may_and_none_that_failed_its_validation(prepared: Settings):
    assert days_to_retrain(DAYS[2], prepared) == DAYS
    assert days_to_retrain(DAYS[2], with_training(prepared, full_retrain_days=2)) == DAYS[1:]
    records = Records(prepared.root)
    records.write(DAYS[1], "validate", {**records.require(DAYS[1], "validate"), "success": False})
    manifest = CheckpointStore(prepared.root).verify(steps.train(DAYS[2], prepared)["version"])
    assert list(manifest["samples_versions"]) == [str(DAYS[0]), str(DAYS[2])]
    held_out = assembled(DAYS[2], prepared, first=holdout_start(DAYS[2], prepared), end=midnight(DAYS[2] + timedelta(days=1)))
    assert manifest["rows"] == 4000 + 4000 - held_out.collect().height
