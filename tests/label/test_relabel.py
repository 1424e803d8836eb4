"""Later days label the earlier ones again: what arrives late counts, once, and no run's view is moved by another's."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from components import steps
from components.inputs import midnight, open_lake, samples_as_of
from components.records import Record, Records
from components.settings import Settings, load_settings
from components.simulate.world import simulate
from components.tables import OUTCOMES, SAMPLES

ONE_DAY = timedelta(days=1)
DAYS = [date(2024, 5, 1) + number * ONE_DAY for number in range(4)]
KINDS = {"click": "clicked_at", "action": "acted_at", "conversion": "converted_at"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return four days of logs."""
    folder = tmp_path_factory.mktemp("relabel") / "raw"
    simulate(folder, start=DAYS[0], days=len(DAYS), impressions_per_day=6000, seed=11)
    return folder


@pytest.fixture
def settings(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give a home with the four days ingested, labelled and found valid."""
    environment = {"HOME": tmp_path / "home", "DATA__RAW": raw, "DATA__PROFILE": raw / "profile.toml", "LAKE__FILE_ROWS": 2500}
    monkeypatch.setenv("ESMM_SETTINGS", "")
    for name, value in environment.items():
        monkeypatch.setenv(f"ESMM_{name}", str(value))
    found = load_settings()
    for day in DAYS:
        steps.ingest(day, found)
        labelled = steps.label(day, found)
        Records(found.root).write(day, "validate", {"success": True, "fingerprint": labelled["fingerprint"]})
    return found


def count(samples: pl.LazyFrame) -> int:
    return int(samples.select(pl.col("converted").sum()).collect().item())


def known_outcomes(samples: pl.LazyFrame) -> set[tuple[str, str]]:
    rows = samples.collect()
    return {(name, kind) for kind, at in KINDS.items() for name in rows.filter(pl.col(at).is_not_null())["impression_id"]}


def test_late_events_change_the_earlier_days_in_one_commit_each(settings: Settings) -> None:
    lake, before = open_lake(settings), count(samples_as_of(DAYS[0], DAYS[0], settings))
    version = lake.version(SAMPLES)
    record = steps.relabel(DAYS[3], settings)
    assert lake.version(SAMPLES) - version == len(record["days"]) == 3
    assert count(lake.scan(SAMPLES, DAYS[0])) == record["days"][str(DAYS[0])]["conversions"] > before
    expected = steps.label(DAYS[0], settings, labelled_through=midnight(DAYS[3] + ONE_DAY))
    assert (
        lake.scan(SAMPLES, DAYS[0], version=record["days"][str(DAYS[0])]["version"]).collect().equals(lake.scan(SAMPLES, DAYS[0]).collect())
    )
    assert {name: expected[name] for name in ("clicks", "actions", "conversions", "completeness", "labelled_through")} == {
        name: value for name, value in record["days"][str(DAYS[0])].items() if name != "version"
    }


def test_completeness_rises_to_one_at_the_window(settings: Settings) -> None:
    curve = steps.relabel(DAYS[3], settings)["days"][str(DAYS[0])]["completeness"]
    shares = [point["share"] for point in curve]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1] == 1
    assert curve[0]["delay_s"] == 1800
    assert curve[-1]["delay_s"] == settings.labels.conversion_window.total_seconds()


def test_each_outcome_is_learned_once_over_consecutive_runs(settings: Settings) -> None:
    for day in DAYS:
        steps.relabel(day, settings)
    lake = open_lake(settings)
    learned = lake.scan(OUTCOMES, DAYS[0], DAYS[-1]).collect()
    assert learned.select("impression_id", "outcome").is_unique().all()
    assert set(learned.select("impression_id", "outcome").iter_rows()) == known_outcomes(lake.scan(SAMPLES, DAYS[0], DAYS[-1]))
    later = learned.filter(pl.col("exposed_at").dt.date() < pl.col("day"))
    assert later["outcome"].n_unique() == 3
    assert learned["happened_at"].null_count() == 0


def test_rerun_gives_the_same_bytes(settings: Settings) -> None:
    def run() -> tuple[list[str], Record]:
        record, lake = steps.relabel(DAYS[2], settings), open_lake(settings)
        curves = {day: {name: value for name, value in found.items() if name != "version"} for day, found in record["days"].items()}
        return [lake.fingerprint(SAMPLES, day) for day in DAYS[:2]] + [lake.fingerprint(OUTCOMES, DAYS[2])], curves

    assert run() == run()


@pytest.mark.parametrize("rerun", [False, True], ids=["newer run", "newer run, then a rerun"])
def test_newer_runs_leave_what_an_older_run_reads_alone(settings: Settings, rerun: bool) -> None:
    steps.relabel(DAYS[1], settings)
    steps.relabel(DAYS[2], settings)
    older, newer = (samples_as_of(run, DAYS[0], settings).collect() for run in DAYS[1:3])
    learned = open_lake(settings).scan(OUTCOMES, DAYS[1]).collect()
    steps.relabel(DAYS[3], settings)
    if rerun:
        steps.relabel(DAYS[1], settings)
    assert samples_as_of(DAYS[1], DAYS[0], settings).collect().equals(older)
    assert samples_as_of(DAYS[2], DAYS[0], settings).collect().equals(newer)
    assert not newer.equals(older)
    assert open_lake(settings).scan(OUTCOMES, DAYS[1]).collect().equals(learned)


def test_days_without_samples_or_out_of_the_window_are_left_alone(settings: Settings) -> None:
    Records(settings.root).remove(DAYS[1], "label")
    short = settings.model_copy(update={"labels": settings.labels.model_copy(update={"conversion_window": timedelta(hours=12)})})
    assert list(steps.relabel(DAYS[3], settings)["days"]) == [str(DAYS[0]), str(DAYS[2])]
    assert list(steps.relabel(DAYS[3], short)["days"]) == [str(DAYS[2])]
