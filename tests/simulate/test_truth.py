"""The truth beside the logs: its rates hold, what is hidden moves only what it should, and nothing of it is in the logs."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from components.profile import load_profile
from components.simulate import world
from components.simulate.worlds import WORLDS

START = date(2024, 5, 1)
ROWS = 300_000
COLUMNS = {
    *("impression_id", "pctr", "pctr_examined", "pcvr", "pcvr_clicked", "confounder", "examined", "relevant", "acts_if_clicked"),
    *("converts_if_clicked", "click_delay_s", "conversion_delay_s", "clicked", "acted", "converted"),
}
MOODY = ("default", "half_confounded", "confounded")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of a day of each world, its logs in `raw`."""
    folders = {name: tmp_path_factory.mktemp(name) for name in WORLDS}
    for name, folder in folders.items():
        rows = ROWS if name in MOODY else ROWS // 3
        world.simulate(folder / "raw", start=START, days=1, impressions_per_day=rows, seed=4, world=name)
    return folders


def truth_of(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "truth" / f"day={START}" / "*.parquet")


def shown_in(folder: Path) -> pl.DataFrame:
    log = pl.read_parquet(folder / "raw" / "impressions" / f"day={START}" / "*.parquet").drop_nulls(
        ["impression_id", "item_id", "exposed_at"]
    )
    return log.unique("impression_id", keep="first")


def surprise(rows: pl.DataFrame, label: str, chance: str) -> float:
    """Standard errors between the number of positives and the sum of their probabilities."""
    p = rows[chance].cast(pl.Float64)
    return abs(rows[label].sum() - p.sum()) / float(np.sqrt((p * (1 - p)).sum()))


@pytest.mark.parametrize("name", WORLDS)
def test_rates_are_near_those_of_the_world(worlds, name):
    truth, asked = truth_of(worlds[name]), WORLDS[name]
    clicks = truth.filter("clicked")
    assert truth["clicked"].mean() == pytest.approx(asked.ctr, rel=0.06)
    assert clicks["acted"].mean() == pytest.approx(asked.acted, rel=0.12)
    assert clicks["pcvr_clicked"].mean() == pytest.approx(asked.cvr, rel=0.1)
    assert 0.2 < truth["pcvr"].mean() / asked.cvr < 1.8


@pytest.mark.parametrize("name", WORLDS)
def test_the_true_probabilities_sum_to_what_happens(worlds, name):
    truth = truth_of(worlds[name])
    checks = [
        (truth, "clicked", "pctr"),
        (truth.filter("examined"), "clicked", "pctr_examined"),
        (truth, "relevant", "pctr_examined"),
        (truth, "converts_if_clicked", "pcvr"),
        (truth.filter("clicked"), "converted", "pcvr_clicked"),
        (truth.filter("relevant"), "converts_if_clicked", "pcvr_clicked"),
    ]
    for rows, label, chance in checks:
        for tenth in rows.with_columns(tenth=pl.col(chance).rank("ordinal") * 10 // (pl.len() + 1)).partition_by("tenth"):
            assert surprise(tenth, label, chance) < 4.5, (label, chance)
        assert surprise(rows, label, chance) < 4, (label, chance)


@pytest.mark.parametrize("name", WORLDS)
def test_a_purchase_outcome_is_drawn_for_every_impression_and_kept_only_after_a_click(worlds, name):
    truth = truth_of(worlds[name])
    assert truth.filter(~pl.col("clicked"))["converts_if_clicked"].sum() > 50
    assert truth.select((pl.col("clicked") == pl.col("examined") & pl.col("relevant")).all()).item()
    assert truth.select((pl.col("acted") == pl.col("clicked") & pl.col("acts_if_clicked")).all()).item()
    assert truth.select((pl.col("converted") == pl.col("clicked") & pl.col("converts_if_clicked")).all()).item()


def test_only_a_confounder_makes_clicked_impressions_convert_beyond_their_features(worlds):
    lift: dict[str, list[tuple[float, float]]] = {}
    for name in MOODY:
        liked = truth_of(worlds[name]).filter("relevant").sort("pcvr")
        parts = liked.with_columns(part=(pl.col("pcvr").cum_sum() / pl.col("pcvr").sum() * 1.999).cast(int)).partition_by("part")
        expected = [part["pcvr"].cast(pl.Float64).sum() for part in parts]
        assert len(parts) == 2
        lift[name] = [(part["converts_if_clicked"].sum() / sure, sure**-0.5) for part, sure in zip(parts, expected, strict=True)]
    assert all(abs(ratio - 1) < 4 * spread for ratio, spread in lift["default"])
    assert np.mean([ratio for ratio, _ in lift["half_confounded"]]) > 1 + 0.75 * lift["half_confounded"][0][1]
    assert all(ratio - 1 > 2 * spread for ratio, spread in lift["confounded"])
    truth = truth_of(worlds["confounded"])
    assert sorted(truth["confounder"].unique()) == [-1, 1]
    assert (truth["pcvr_clicked"] > truth["pcvr"]).all()
    assert truth_of(worlds["default"])["confounder"].unique().to_list() == [0]


@pytest.mark.parametrize(("name", "sign"), [("default", 1), ("clickbait", -1)])
def test_click_and_conversion_rates_go_together_or_apart(worlds, name, sign):
    correlation = np.corrcoef(np.log(truth_of(worlds[name]).select("pctr_examined", "pcvr").to_numpy().T))[0, 1]
    assert sign * correlation > 0.2


def test_the_logs_hold_positions_that_are_examined_ever_less(worlds):
    rows = truth_of(worlds["default"]).join(shown_in(worlds["default"]), on="impression_id")
    for position in (1, 2, 4, 9, 12):
        there = rows.filter(pl.col("position") == position)
        expected = position**-0.5
        spread = np.sqrt(expected * (1 - expected) / there.height)
        found = there["examined"].mean()
        assert abs(found - expected) < 0.005 + 4 * spread  # a changed duplicate is one position off
        seen = there.filter("relevant")["clicked"].mean()
        assert seen == pytest.approx(expected, abs=0.06)  # the click given relevance is the examination


def test_carts_and_wish_lists_raise_the_chance_to_buy(worlds):
    clicks = truth_of(worlds["dense"]).filter("clicked")
    with_action, without = (clicks.filter(pl.col("acted") == acted) for acted in (True, False))
    assert with_action["converted"].mean() > 4 * without["converted"].mean()
    assert with_action["converted"].sum() > with_action["pcvr_clicked"].sum()
    assert (with_action.filter("converted")["conversion_delay_s"] >= 5).all()


def test_conversions_follow_by_the_delays_of_the_truth(worlds):
    known = truth_of(worlds["default"]).filter("converts_if_clicked")["conversion_delay_s"]
    assert (known <= 1800).mean() == pytest.approx(0.60, abs=0.04)
    assert 6 < known.max() / 86_400 <= 7


def test_the_truth_can_be_learned_but_not_known_for_sure(worlds):
    truth = truth_of(worlds["default"])
    clicks = truth.filter("clicked")
    assert 0.75 < roc_auc_score(truth["clicked"], truth["pctr"]) < 0.85
    assert 0.75 < roc_auc_score(clicks["converted"], clicks["pcvr_clicked"]) < 0.92
    assert roc_auc_score(truth["relevant"], truth["pctr_examined"]) < 0.85


def test_every_impression_has_its_truth_and_the_folder_says_of_which_world(worlds):
    for name in ("default", "dense"):
        truth = truth_of(worlds[name])
        assert set(truth.columns) == COLUMNS
        assert truth["impression_id"].sort().equals(shown_in(worlds[name])["impression_id"].sort())
        assert truth.null_count().sum_horizontal().item() == 0
    said = json.loads((worlds["dense"] / "truth" / "world.json").read_text())
    assert said == {"world": "dense", "seed": 4, "impressions_per_day": ROWS // 3, "start": "2024-05-01"}


def test_nothing_of_the_truth_is_in_the_logs(worlds):
    folder = worlds["dense"]
    profile, shown = load_profile(folder / "raw" / "profile.toml"), shown_in(folder)
    named = {name for kind in profile.kinds for name in (*getattr(profile, kind).columns.values(), *getattr(profile, kind).context)}
    assert not named & (COLUMNS - {"impression_id"})
    assert set(shown.columns) == {*profile.impressions.columns.values(), *profile.context}
    assert {path.name for path in (folder / "raw").iterdir()} == {*profile.kinds, "profile.toml"}
    rows = (
        truth_of(folder).join(shown, on="impression_id").with_columns(number=pl.col("impression_id").str.split("-").list.last().cast(int))
    )
    unseen = rows.filter(~pl.col("clicked"))
    for column in ("number", "exposed_at"):  # where an impression stands in the log says nothing of what it would have led to
        value = unseen[column].to_physical()
        assert roc_auc_score(unseen["converts_if_clicked"], value) == pytest.approx(0.5, abs=0.02)
    for name in ("pctr", "pctr_examined", "pcvr", "click_delay_s", "conversion_delay_s"):
        assert all(abs(rows.select(pl.corr(name, each, method="spearman")).item()) < 0.6 for each in ("price", "number", "position"))


def test_uniform_pairs_are_of_anybody_and_anything(worlds):
    truth, shown = truth_of(worlds["default"]), shown_in(worlds["default"])
    pairs = pl.read_parquet(worlds["default"] / "truth" / "pairs" / f"day={START}" / "part-0.parquet")
    assert pairs.height == world.PAIRS
    assert {*shown.columns, "pctr_examined", "pcvr", "pcvr_clicked"} - {*pairs.columns} == {"position"}
    assert pairs["user_id"].n_unique() > 0.6 * 15_000
    assert pairs["pctr_examined"].mean() < 0.75 * truth["pctr_examined"].mean()
    known = shown.select("item_id", "price", "brand_id").unique("item_id")
    both = pairs.join(known, on="item_id")
    assert (both["price"] == both["price_right"]).all()
    assert (both["brand_id"] == both["brand_id_right"]).all()


def test_the_truth_of_another_world_is_removed_and_that_of_this_one_kept(tmp_path):
    def simulate(days: int, seed: int) -> list[str]:
        world.simulate(tmp_path / "raw", start=START, days=days, impressions_per_day=200, seed=seed, truth=tmp_path / "known")
        return sorted(path.name for path in (tmp_path / "known").glob("**/day=*"))

    simulate(2, seed=1)
    assert simulate(1, seed=1) == ["day=2024-05-01", "day=2024-05-01", "day=2024-05-02", "day=2024-05-02"]
    assert simulate(1, seed=2) == ["day=2024-05-01", "day=2024-05-01"]
    assert not (tmp_path / "truth").exists()


def test_worlds_differ_in_what_they_say_only():
    assert replace(WORLDS["default"], confounder=0.5) == WORLDS["half_confounded"]
    assert replace(WORLDS["default"], confounder=1.0) == WORLDS["confounded"]
    assert replace(WORLDS["default"], correlation=-0.4) == WORLDS["clickbait"]
