"""`esmm experiment-days`: the days' rows, the courses, the page."""

from datetime import timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from components.cli import main
from components.experiment import days as room
from components.experiment.calendar import Calendar, Logs, make_calendar
from components.experiment.courses import Plan, as_table, course_settings, judge_day
from components.experiment.day_summary import summarise_days
from components.experiment.strategies import STRATEGIES, Course
from components.experiment.worlds import START, Size
from components.inputs import ONE_DAY, samples_as_of
from components.model.scoring import score
from components.settings import Labels, Settings
from tests.experiment.conftest import small
from tests.experiment.test_runs import in_turn

SIZE = Size("dense", impressions_per_day=4000, days=3, seed=5)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an experiment, with its calendar made."""
    folder = tmp_path_factory.mktemp("days")
    make_calendar(SIZE, folder / "calendars" / SIZE.key, small(Settings()), lambda _: None)
    return folder


@pytest.fixture
def calendar(out: Path) -> Calendar:
    return make_calendar(SIZE, out / "calendars" / SIZE.key, small(Settings()), pytest.fail)


def test_a_day_has_each_impression_once_with_the_labels_of_every_later_run(calendar: Calendar):
    kept = pl.read_parquet(calendar.path(START))
    assert (kept.height, kept["impression_id"].n_unique(), kept["exposed_at"].is_sorted()) == (4000, 4000, True)
    for lag in range(3):
        run = START + lag * ONE_DAY
        known = samples_as_of(run, START, calendar.settings).select("impression_id", "clicked", "converted").collect()
        assert calendar.known(START, run).select(known.columns).collect().equals(known)
    assert kept["converted_0"].sum() < kept["converted_2"].sum() <= kept["final_converted"].sum()
    shares = pl.read_parquet(calendar.path(START + 2 * ONE_DAY))["known_share_0"]
    assert 0 < shares.min() < 1  # what the third run has seen of the first day's delays


def test_own_logs_have_the_labels_of_a_window_later_as_their_final_ones(shop_settings: Settings, tmp_path: Path):
    soon = Labels(click_window=timedelta(hours=1), conversion_window=timedelta(hours=23))
    settings = small(shop_settings).model_copy(update={"labels": soon})
    calendar = make_calendar(Logs("shop", START, 1), tmp_path / "own", settings, lambda _: None)
    kept = pl.read_parquet(calendar.path(START))
    assert kept["final_converted"].equals(kept["converted_1"], check_names=False)
    assert kept["converted_0"].sum() < kept["final_converted"].sum()
    assert "converts_if_clicked" not in kept.columns


def test_an_experiment_judges_each_day_by_the_run_before_and_goes_on_where_it_was_ended(out: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(room, "each", in_turn)
    told: list[tuple[str, int, int]] = []
    begin = partial(
        room.experiment_days, SIZE, ["never", "retrain"], 1, 2, out, small(Settings()), progress=lambda *part: told.append(part)
    )
    found = begin()
    kept = sorted(path.name for path in (out / "courses").rglob("*.json"))
    assert kept == ["daily-0.json", "never-0.json", "retrain-0.json"]
    page = Path(found["md"]).read_text(encoding="utf-8")
    assert "| Not updated | 2 |" in page
    assert f"| {START + ONE_DAY} |" in page
    assert Path(found["png"]).stat().st_size > 1000
    begin()
    assert told[-1] == ("courses", 3, 3)
    assert Path(found["md"]).read_text(encoding="utf-8") == page
    courses = pl.read_csv(found["csv"], try_parse_dates=True)
    first = courses.filter(day=START + ONE_DAY)
    assert first["ctr_auc"].n_unique() == 1  # on the first judged day all three have read one day and never been updated
    assert courses.filter(strategy="never")["cpu_s"].n_unique() == 1


def test_a_day_is_judged_by_final_labels_and_by_the_truth(calendar: Calendar):
    settings = course_settings(calendar.settings, STRATEGIES["daily"], 0)
    model = next(STRATEGIES["daily"].serve(Course(calendar, settings, START)))
    assert model is not None
    path = calendar.path(START + ONE_DAY)
    found = judge_day(path, model, settings).values
    rows, scores = pl.read_parquet(path), score(pl.scan_parquet(path), model, profile=settings.profile, settings=settings)
    assert found["ctcvr_auc"] == pytest.approx(roc_auc_score(rows["final_converted"], scores["pctcvr"]))
    assert found["cvr_auc_all"] == pytest.approx(roc_auc_score(rows["converts_if_clicked"], scores["pcvr"]))
    clicked = scores.filter(rows["final_clicked"])
    assert found["cvr_expected"] == pytest.approx(clicked["pcvr"].sum())
    assert found["cvr_happened"] == rows["final_converted"].sum()


def test_a_summary_compares_with_the_chain_on_the_same_days_and_seeds():
    days = [START, START + ONE_DAY]
    metrics = dict.fromkeys(("cvr_auc_all", "cvr_auc", "ctcvr_auc", "cvr_log_loss", "ctcvr_log_loss", "ctr_log_loss"), 0.5)
    sums = {f"{task}_{name}": value for task in ("ctr", "cvr", "ctcvr") for name, value in (("expected", 3.0), ("happened", 4.0))}

    def course(ctr_aucs: dict[int, float], expected: float) -> dict[str, object]:
        found = {**metrics, **sums, "cvr_expected": expected}
        places = [(place, {**found, "ctr_auc": auc}) for place, auc in ctr_aucs.items()]
        dated = [{"day": str(days[place]), "cpu_s": 5.0 * place, "rows": 10 * place, "metrics": values} for place, values in places]
        return {"days": dated}

    chain = course({0: 0.6, 1: 0.7}, 3.0)
    runs = {("daily", 0): chain, ("daily", 1): chain, ("wait", 0): course({1: 0.71}, 6.0), ("wait", 1): course({1: 0.73}, 6.0)}
    cells = {(row["strategy"], row["metric"]): row for row in summarise_days(as_table(runs)).iter_rows(named=True)}
    waited = cells["wait", "ctr_auc"]
    assert (waited["days"], waited["seeds"], waited["mean"]) == (1, 2, pytest.approx(0.72))
    assert waited["difference"] == pytest.approx(0.02)  # to .7, not to the mean of both days
    assert waited["reach"] == pytest.approx(12.706 * 0.01, rel=1e-3)  # t of two seeds
    assert cells["daily", "ctr_auc"]["mean"] == pytest.approx(0.65)
    assert cells["wait", "cvr_pcoc"]["difference"] == pytest.approx(6 / 4 - 3 / 4)
    assert cells["daily", "cpu_s_a_day"]["mean"] == 5.0
    assert cells["wait", "cpu_s_a_day"]["mean"] is None


def test_a_course_of_other_settings_is_gone_through_again(calendar: Calendar, tmp_path: Path):
    plan = Plan(calendar, tmp_path, judged=1)
    assert plan.told("daily", 0) != plan.told("daily", 1)
    assert plan.told("daily", 0)["settings"] != plan.told("corrected", 0)["settings"]
    assert plan.told("daily", 0) != Plan(calendar, tmp_path, judged=2).told("daily", 0)


@pytest.mark.parametrize(
    ("option", "said"),
    [("--strategies=often", "expected strategies among"), ("--world=moon", "expected a world among"), ("--judged=20", "fewer judged days")],
)
def test_what_is_misspelt_is_refused_before_anything_is_made(option: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["experiment-days", option, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
