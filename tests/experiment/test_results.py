"""From runs to tables: means, paired intervals, the ceiling, and no number where there is none."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from components.experiment.curve import write_curve
from components.experiment.metrics import judge
from components.experiment.runs import as_table
from components.experiment.summary import summarise
from components.experiment.tables import write_results
from components.experiment.worlds import Size

AUCS = {"base": [0.60, 0.64, 0.61], "esmm": [0.66, 0.67, 0.68], "oracle": [0.90, 0.90, 0.90]}
WORLD = {
    "world": "dense",
    "impressions_per_day": 10,
    "days": 3,
    "seed": 1,
    **{part: {"rows": 10, "final_clicked": 4, "final_converted": 2} for part in ("train", "test")},
}
TOLD = {"world": WORLD, "labels": "final", "share": 0.5}


def runs(values: dict[str, list[float | None]], metric: str = "cvr_auc") -> pl.DataFrame:
    rows = [(arm, seed, metric, value, None) for arm, found in values.items() for seed, value in enumerate(found)]
    schema = {"arm": pl.String, "seed": pl.Int64, "metric": pl.String, "value": pl.Float64, "reason": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def row(summary: pl.DataFrame, arm: str) -> dict[str, float | None]:
    return summary.row(by_predicate=pl.col("arm") == arm, named=True)


def test_differences_to_esmm_are_paired_by_seed_with_a_t_interval():
    found = row(summarise(runs(AUCS)), "base")
    paired = stats.ttest_rel(AUCS["base"], AUCS["esmm"]).confidence_interval(0.95)
    assert found["difference"] == pytest.approx(np.mean(AUCS["base"]) - np.mean(AUCS["esmm"]))
    assert (found["low"], found["high"]) == pytest.approx((paired.low, paired.high))
    assert (found["mean"], found["sd"]) == pytest.approx((np.mean(AUCS["base"]), np.std(AUCS["base"], ddof=1)))


def test_the_share_of_the_ceiling_is_the_distance_from_one_half():
    summary = summarise(runs(AUCS))
    assert row(summary, "esmm")["share"] == pytest.approx(0.17 / 0.40)
    assert row(summary, "oracle")["share"] == pytest.approx(1)


def test_esmm_has_no_difference_to_itself_and_without_esmm_there_is_none():
    assert row(summarise(runs(AUCS)), "esmm")["difference"] is None
    assert row(summarise(runs({"base": [0.6, 0.7], "oracle": [0.9, 0.9]})), "base")["difference"] is None


def test_one_seed_has_neither_spread_nor_interval():
    found = row(summarise(runs({"base": [0.6], "esmm": [0.7]})), "base")
    assert found["difference"] == pytest.approx(-0.1)
    assert (found["sd"], found["low"], found["high"], found["share"]) == (None, None, None, None)


def test_a_seed_in_which_a_metric_is_undefined_is_left_out_and_counted():
    found = row(summarise(runs({"base": [0.6, None, 0.62], "esmm": [0.7, 0.7, 0.7]})), "base")
    assert (found["seeds"], found["of_seeds"]) == (2, 3)
    assert found["mean"] == pytest.approx(0.61)


def test_a_metric_that_is_nowhere_defined_stays_null():
    found = row(summarise(runs({"base": [None, None], "esmm": [0.7, 0.7]})), "base")
    assert (found["mean"], found["difference"], found["low"]) == (None, None, None)


@pytest.fixture
def judged() -> pl.DataFrame:
    """Return runs of three arms with every metric."""
    rng = np.random.default_rng(0)
    pcvr, clicked = rng.uniform(0.1, 0.5, 500), rng.random(500) < 0.5
    buys = rng.random(500) < pcvr
    day = pl.DataFrame({"final_clicked": clicked, "final_converted": clicked & buys, "relevant": clicked, "converts_if_clicked": buys})
    day = day.with_columns(
        true_pcvr=pcvr, item_pcvr=pcvr.round(1), reference_pctr=rng.random(500), pctr=rng.random(500), pctr_examined=rng.random(500)
    )
    pairs = pl.DataFrame({"true_pcvr": pcvr})
    kept = {}
    for arm, factor in (("base", 3.0), ("aman_20", 0.5), ("esmm", 0.9), ("oracle", 1.0)):
        for seed in range(2):
            score = pl.Series("pcvr", pcvr * factor + seed * 0.001)
            found = judge(day.with_columns(score, pcvr_clicked=score), pairs.with_columns(score), own_ctr=arm != "aman_20", min_positives=2)
            kept[arm, seed] = {"metrics": found.values, "undefined": found.reasons}
    return as_table(kept)


def test_the_files_say_what_is_undefined_and_why(judged, tmp_path):
    size = Size("dense", 10, 3, 1)
    found = write_results(tmp_path, size, judged, summarise(judged), told=TOLD)
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    aman = next(line for line in page.splitlines() if line.startswith("| AMAN 20 %"))
    assert aman.endswith("| – | – | – |")
    assert "* AMAN 20 %: ctr_auc, ctr_relevance_auc, ctr_pcoc, ctcvr_auc_own, ctcvr_pcoc_own: the arm has no pCTR of its own" in page
    assert "* BASE: cvr_log_loss" in page
    assert "nan" not in page.lower()
    assert "None" not in page
    described = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert {row["arm"] for row in described["summary"]} == {"base", "aman_20", "esmm", "oracle"}
    assert described["runs"][0] == {
        "arm": "base",
        "seed": 0,
        "metric": "cvr_auc",
        "value": pytest.approx(judged["value"][0]),
        "reason": None,
    }
    table = pl.read_csv(tmp_path / "results.csv")
    assert table.columns[:3] == ["world", "arm", "metric"]
    assert table.height == judged.height / 2
    assert [path.rsplit("/", 1)[-1] for path in found["plots"]] == ["auc.png", "pcoc.png", "differences.png"]


def test_the_curve_has_a_column_for_each_share_and_differences_to_esmm_of_that_share(judged, tmp_path):
    whole = summarise(judged)
    few = whole.with_columns(pl.col("mean", "difference", "low", "high") - 0.01)
    found = write_curve(tmp_path, Size("dense", 10, 3, 1), {0.2: few, 1.0: whole})
    lines = Path(found["curve_md"]).read_text(encoding="utf-8").splitlines()
    assert lines[lines.index("## CVR AUC, clicked") + 2] == "| arm | 0.2 | 1 |"
    mean = [row(kept.filter(metric="cvr_auc"), "base")["mean"] for kept in (few, whole)]
    assert next(line for line in lines if line.startswith("| BASE |")).startswith(f"| BASE | {100 * mean[0]:.2f} ± ")
    less = next(line for line in lines if line.startswith("| BASE less ESMM"))
    first, second = (float(cell.split()[0]) for cell in less.split("|")[2:4])
    assert first == pytest.approx(second - 1, abs=0.011)
    assert not any(line.startswith(("| ESMM less", "| Oracle (the truth) less")) for line in lines)
    assert Path(found["curve_png"]).stat().st_size > 10_000


def test_without_esmm_there_is_a_page_and_no_plot_of_differences(judged, tmp_path):
    some = judged.filter(pl.col("arm") != "esmm")
    found = write_results(tmp_path, Size("dense", 10, 3, 1), some, summarise(some), told=TOLD)
    assert [path.rsplit("/", 1)[-1] for path in found["plots"]] == ["auc.png", "pcoc.png"]
