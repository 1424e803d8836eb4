"""The shares of a day: any number of buckets makes the same bytes, and a step does what shares are missing or out of date."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from components import sharing, steps
from components.buckets import Bucket
from components.lake import Lake
from components.settings import Settings, load_settings
from components.staged import Staged
from components.tables import DAYS, FEATURES, OUTCOMES, SAMPLES
from tests.conftest import set_shop_environment

FIRST = date(2024, 5, 1)
LABELLED = [FIRST + timedelta(days=number) for number in range(3)]
TABLES = (SAMPLES, OUTCOMES, *DAYS, *FEATURES)


@dataclass(frozen=True)
class Home:
    """A home with three days ingested, and its settings for so many buckets."""

    environment: dict[str, str]
    patch: pytest.MonkeyPatch

    def settings(self, buckets: int) -> Settings:
        self.patch.setenv("ESMM_WORK__BUCKETS", str(buckets))
        self.patch.setenv("ESMM_LAKE__FILE_ROWS", "700")  # six files a day
        return load_settings()


@pytest.fixture
def home(shop_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(shop_environment, monkeypatch)


def run_days(settings: Settings, days: list[date] = LABELLED) -> None:
    """Run label to aggregate, each bucket's shares first."""
    buckets = range(settings.work.buckets) if settings.work.buckets > 1 else range(0)
    for day in days:
        steps.ingest(day, settings)
        share_labels(day, "label", settings, buckets)
        steps.label(day, settings)
        steps.validate(day, settings)
        share_labels(day, "relabel", settings, buckets)
        steps.relabel(day, settings)
        for bucket in buckets:
            sharing.prepare(day, settings, bucket=bucket)
        steps.aggregate(day, settings)


def share_labels(day: date, step: sharing.Step, settings: Settings, buckets: range) -> None:
    for share in (sharing.attribute, sharing.lay):
        for bucket in reversed(buckets):
            share(day, settings, step=step, bucket=bucket)


def state(settings: Settings) -> dict[str, list[str]]:
    lake = Lake(settings.lake_uri, settings.profile)
    return {table.name: [lake.fingerprint(table, day) for day in LABELLED] for table in TABLES}


def left(settings: Settings) -> list[str]:
    """Return the shares that nobody took."""
    return [path.name for path in (settings.root / "staged").glob("*/*/*/*/*")]


@pytest.fixture(scope="module")
def undivided(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return the tables' bytes as one process makes them."""
    with pytest.MonkeyPatch.context() as patch:
        settings = Home(set_shop_environment(shop, tmp_path_factory.mktemp("undivided"), patch), patch).settings(1)
        run_days(settings)
        assert not (settings.root / "staged").exists()
        return state(settings)


@pytest.mark.parametrize("buckets", [4, 16])
def test_any_number_of_buckets_makes_the_same_tables(home: Home, undivided: dict[str, list[str]], buckets: int, caplog: Any) -> None:
    settings = home.settings(buckets)
    run_days(settings)
    assert state(settings) == undivided
    assert left(settings) == []
    assert "doing all of it here" not in caplog.text


def test_a_step_does_what_shares_it_does_not_find(home: Home, undivided: dict[str, list[str]], caplog: pytest.LogCaptureFixture) -> None:
    settings = home.settings(4)
    run_days(settings, LABELLED[:2])
    day = LABELLED[2]
    steps.ingest(day, settings)
    for bucket in range(3):
        sharing.attribute(day, settings, step="label", bucket=bucket)
        sharing.lay(day, settings, step="label", bucket=bucket)
    steps.label(day, settings)
    assert "no shares of 4 buckets" in caplog.text
    steps.validate(day, settings)
    share_labels(day, "relabel", settings, range(4))
    steps.relabel(day, settings)
    sharing.prepare(day, settings, bucket=2)
    steps.aggregate(day, settings)
    assert state(settings) == undivided


def test_outcomes_without_files_are_laid_by_the_step(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    settings = home.settings(2)
    steps.ingest(FIRST, settings)
    for bucket in range(2):
        sharing.attribute(FIRST, settings, step="label", bucket=bucket)
    sharing.lay(FIRST, settings, step="label", bucket=0)
    shared = steps.label(FIRST, settings)
    assert "no shares" not in caplog.text
    assert steps.label(FIRST, home.settings(1))["fingerprint"] == shared["fingerprint"]


def test_shares_of_other_inputs_are_not_taken(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    settings = home.settings(2)
    steps.ingest(FIRST, settings)
    share_labels(FIRST, "label", settings, range(2))
    steps.ingest_kind(FIRST, "clicks", settings)  # the same rows, in other files
    steps.label(FIRST, settings)
    assert "no shares of 2 buckets" in caplog.text


def test_files_of_an_earlier_attempt_are_not_taken(home: Home) -> None:
    settings = home.settings(2)
    steps.ingest(FIRST, settings)
    share_labels(FIRST, "label", settings, range(2))
    undisturbed = steps.label(FIRST, settings)["fingerprint"]
    share_labels(FIRST, "label", settings, range(2))
    for bucket in range(2):  # as a retry would: the files laid before are of other outcomes now
        sharing.attribute(FIRST, settings, step="label", bucket=bucket)
    sharing.lay(FIRST, settings, step="label", bucket=1)
    assert steps.label(FIRST, settings)["fingerprint"] == undisturbed


def test_a_bucket_that_is_none_is_refused(home: Home) -> None:
    settings = home.settings(2)
    steps.ingest(FIRST, settings)
    with pytest.raises(ValueError, match="bucket 2 of 2: expected a number from 0 to 1"):
        sharing.attribute(FIRST, settings, step="label", bucket=2)


def test_a_share_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    staged = Staged(tmp_path, FIRST, "label", "outcomes", ["inputs"])
    with staged.put(Bucket(0, 1)) as folder:
        (folder / "rows").write_text("whole")
    with pytest.raises(ZeroDivisionError), staged.put(Bucket(0, 1)) as folder:
        (folder / "rows").write_text(f"half {1 / 0}")
    (found,) = staged.look(1)
    assert (found / "rows").read_text() == "whole"


def test_shares_are_taken_once_and_only_when_all_are_there(tmp_path: Path) -> None:
    staged = Staged(tmp_path, FIRST, "label", "outcomes", ["inputs"])
    with staged.put(Bucket(1, 2)):
        pass
    assert (staged.look(2), staged.take(2, tmp_path / "first")) == ([], [])
    with staged.put(Bucket(0, 2)):
        pass
    assert [path.name for path in staged.take(2, tmp_path / "first")] == ["00000-of-00002", "00001-of-00002"]
    assert staged.take(2, tmp_path / "second") == []
