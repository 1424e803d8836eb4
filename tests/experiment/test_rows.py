"""Which rows an arm trains on."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from components.errors import SettingsError
from components.experiment.arms import ARMS, find_arms
from components.experiment.rows import Given, clicks_rejected_by_pctr, conversions_repeated, every_row, sampled, unclicked_as_negatives
from components.experiment.training import arm_settings
from components.settings import Settings

COUNT = 20_000
CLICKS = COUNT // 4


@pytest.fixture
def rows() -> pl.DataFrame:
    """Every fourth impression is clicked, every fortieth converted."""
    number = pl.int_range(COUNT, eager=True)
    start = datetime(2024, 5, 1, tzinfo=UTC)
    return pl.DataFrame({"impression_id": [f"i{one}" for one in number]}).with_columns(
        exposed_at=pl.lit(start) + number * timedelta(seconds=1), clicked=number % 4 == 0, converted=number % 40 == 0
    )


def given(rows: pl.DataFrame, seed: int = 0) -> Given:
    """Let clicks have a pCTR of 0.1 and 0.4 by turns."""
    clicks = rows.filter("clicked").select("impression_id").with_row_index()
    pctr = clicks.select("impression_id", reference_pctr=pl.when(pl.col("index") % 2 == 0).then(0.1).otherwise(0.4))
    return Given(rows.lazy(), pctr.lazy(), seed)


def test_most_arms_leave_the_rows_alone(rows):
    assert every_row(given(rows)).collect().equals(rows)


@pytest.mark.parametrize(("rate", "least", "most"), [(0.1, 1350, 1650), (0.5, 7200, 7800), (1.0, 15_000, 15_000)])
def test_aman_counts_a_share_of_the_unclicked_as_clicks_without_conversion(rows, rate, least, most):
    chosen = unclicked_as_negatives(rate)(given(rows)).collect()
    assert chosen["impression_id"].equals(rows["impression_id"])
    assert chosen["converted"].equals(rows["converted"])
    assert chosen.filter(rows["clicked"])["clicked"].all()
    assert least <= chosen["clicked"].sum() - CLICKS <= most


def test_the_choice_rests_on_the_impression_and_the_seed_alone(rows):
    choose = unclicked_as_negatives(0.2)
    chosen = choose(given(rows)).collect()
    assert choose(given(rows.reverse())).collect().reverse().equals(chosen)
    assert not choose(given(rows, seed=1)).collect().equals(chosen)


def test_oversampling_sets_copies_of_a_conversion_next_to_it(rows):
    chosen = conversions_repeated(3)(given(rows)).collect()
    assert chosen["exposed_at"].is_sorted()
    assert chosen.height == COUNT + 2 * COUNT // 40
    counts = chosen.group_by("impression_id").agg(pl.len(), pl.col("converted").any())
    assert set(counts.select("converted", "len").iter_rows()) == {(True, 3), (False, 1)}


def test_a_share_of_the_rows_is_drawn_apart_from_what_arms_draw(rows):
    half = sampled(rows.lazy(), 0.5, 0).collect()
    assert sampled(rows.lazy(), 1, 0).collect().equals(rows)
    assert 9800 < half.height < 10_200
    chosen = unclicked_as_negatives(0.5)(Given(half.lazy(), rows.lazy(), 0)).collect()
    assert 0.47 < chosen.filter(~half["clicked"])["clicked"].mean() < 0.53


def test_unbias_keeps_clicks_in_inverse_proportion_to_pctr(rows):
    chosen = clicks_rejected_by_pctr(given(rows)).collect()
    assert chosen.columns == rows.columns
    assert chosen["impression_id"].equals(rows["impression_id"])
    rare, often = (chosen.filter(rows["clicked"]).gather_every(2, offset=offset)["clicked"].mean() for offset in (0, 1))
    assert rare == 1
    assert 0.22 < often < 0.28
    assert not chosen.filter(~pl.col("clicked"))["converted"].any()
    assert not chosen.filter(~rows["clicked"])["clicked"].any()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["esmm"], ["base", "esmm", "oracle"]),
        (["aman"], ["base", "aman_10", "aman_20", "aman_50", "aman_100", "oracle"]),
        (["ple", "aman_50"], ["base", "aman_50", "ple", "oracle"]),
        (["all"], list(ARMS)),
    ],
)
def test_arms_are_found_by_name_or_by_what_they_begin_with(asked, found):
    assert find_arms(asked) == found


def test_a_name_that_is_no_arm_is_refused_with_the_arms():
    with pytest.raises(SettingsError, match=r"esmm_ns.*found 'esmn'"):
        find_arms(["esmm", "esmn"])


@pytest.mark.parametrize("name", ARMS)
def test_each_arm_names_a_network_that_there_is(name):
    settings = arm_settings(Settings(), ARMS[name], seed=3)
    assert (settings.train.seed, settings.train.threads) == (3, 1)
    assert {key: getattr(settings.model, key) for key in ARMS[name].model} == ARMS[name].model


def test_the_papers_base_arms_share_one_network_and_differ_in_rows_alone():
    family = [arm for name, arm in ARMS.items() if name.startswith(("base", "aman", "oversampling", "unbias"))]
    assert len(family) == 10
    assert all(arm.model == ARMS["base"].model for arm in family)
    assert [arm.own_ctr for arm in family] == [True] + [False] * 9
