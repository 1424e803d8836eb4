"""The day's training step: what it knows of delays and what it holds back, from the records to the manifest."""

import json
from datetime import date, timedelta

import pytest

from components import steps
from components.checkpoints import CheckpointStore
from components.inputs import samples_as_of
from components.records import Records
from components.settings import Settings
from components.train.delay import PRIOR, estimate_delays
from tests.conftest import FIRST, label_days

DAYS = [FIRST + timedelta(days=number) for number in range(3)]


@pytest.fixture
def prepared(shop_settings: Settings) -> Settings:
    label_days(shop_settings, DAYS)
    return shop_settings


def trained(day: date, settings: Settings, **chosen: object):
    """Train a day with other choices; returns the manifest."""
    model = settings.model.model_copy(update={"age_corrected": chosen.get("age_corrected", False), "hidden": (8,)})
    train = settings.train.model_copy(update={"calibration_share": chosen.get("share", 0.0)})
    own = Settings.model_construct(**{**dict(settings), "model": model, "train": train})
    return CheckpointStore(settings.root).verify(steps.train(day, own)["version"])


def test_a_day_trains_with_the_delays_that_were_known_before_and_keeps_them(prepared: Settings):
    first = trained(DAYS[0], prepared, age_corrected=True)
    assert set(first["delays"]["shares"]) == {1.0}  # the first day knows of no other
    trained(DAYS[1], prepared, age_corrected=True)
    third = trained(DAYS[2], prepared, age_corrected=True)
    known = Records(prepared.root).require(DAYS[2], "relabel")["days"]
    expected = estimate_delays(known, click_window=prepared.labels.click_window)
    assert third["delays"] == {"delays_s": list(expected.delays_s), "shares": list(expected.shares)}
    assert third["delays"]["shares"][1] < 0.9
    samples = samples_as_of(DAYS[2], DAYS[0], prepared).filter("converted").collect()
    delay = samples["converted_at"] - samples["clicked_at"]
    soon, in_a_day = (PRIOR + (delay <= limit).sum() for limit in (timedelta(minutes=30), timedelta(days=1)))
    assert third["delays"]["shares"][1] == pytest.approx(soon / in_a_day)  # the first day's youngest click is a day old
    again = trained(DAYS[2], prepared, age_corrected=True)
    assert json.dumps(again) == json.dumps(third)


def test_a_day_holds_rows_back_for_the_calibration_that_it_saves(prepared: Settings):
    all_rows = trained(DAYS[0], prepared)
    assert "delays" not in all_rows
    manifest = trained(DAYS[0], prepared, share=0.5)
    fitted = manifest["calibration"]
    assert fitted["pctr"]["rows"] + manifest["rows"] == all_rows["rows"]
    assert fitted["pcvr"]["rows"] + manifest["clicks"] == all_rows["clicks"]
    saved = CheckpointStore(prepared.root).load(manifest["version"]).model
    assert {name for name in saved if name.startswith("calibration.")} == {"calibration.pctr.platt", "calibration.pcvr.platt"}
