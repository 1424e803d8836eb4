"""The share of conversions known at an age: by hand, without bias where every day is young, and what training makes of it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from components.errors import SettingsError
from components.model.scoring import score
from components.train.delay import PRIOR, Delays, estimate_delays
from components.train.loop import fine_tune

HOUR, DAY = 3600, 86_400
CLICK_WINDOW = timedelta(days=1)


def curve(through: str, counts: dict[int, int]) -> dict[str, object]:
    """Return a day's entry in the record of `relabel`; counts: conversions no later than each delay."""
    total = max(counts.values(), default=0)
    points = [{"delay_s": delay, "share": count / total} for delay, count in counts.items() if total]
    return {"labelled_through": f"{through}T00:00:00+00:00", "conversions": total, "completeness": points}


def test_a_mature_day_gives_its_own_shares_but_for_the_prior():
    days = {"2024-05-01": curve("2024-05-10", {HOUR: 600, DAY: 900, 7 * DAY: 1000})}
    found = estimate_delays(days, click_window=CLICK_WINDOW)
    week_to_day = (900 + PRIOR) / (1000 + PRIOR)
    day_to_hour = (600 + PRIOR) / (900 + PRIOR)
    expected = [week_to_day * day_to_hour * PRIOR / (600 + PRIOR), week_to_day * day_to_hour, week_to_day, 1.0]
    assert found.delays_s == [0, HOUR, DAY, 7 * DAY]
    assert found.shares == pytest.approx(expected)


def test_a_young_day_counts_only_where_its_youngest_click_is_old_enough():
    """Of 3 May, clicks until 5 May are labelled through 5 or 6 May: of an age of 0 or of a day."""
    mature = {"2024-05-01": curve("2024-05-10", {HOUR: 600, DAY: 900, 7 * DAY: 1000})}
    alone = estimate_delays(mature, click_window=CLICK_WINDOW).shares
    for through, same in (("2024-05-05", True), ("2024-05-06", False)):
        young = {**mature, "2024-05-03": curve(through, {HOUR: 500, DAY: 500, 7 * DAY: 500})}
        found = estimate_delays(young, click_window=CLICK_WINDOW).shares
        assert (found == alone) == same
        assert found[2] == alone[2]  # it says nothing of what comes after a day


def test_days_that_say_nothing_correct_nothing():
    for days in ({}, {"2024-05-01": curve("2024-05-10", {})}, {"2024-05-01": curve("2024-05-02", {HOUR: 5, 7 * DAY: 5})}):
        assert set(estimate_delays(days, click_window=CLICK_WINDOW).shares) == {1.0}


def test_young_days_together_tell_the_shares_of_mature_ones():
    """Eight days of 20,000 conversions with exponential delays: each shows what its cut-off lets, none is whole but the first."""
    rng, edges = np.random.default_rng(3), [HOUR, 6 * HOUR, DAY, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY, 6 * DAY, 7 * DAY]
    start, through = datetime(2024, 5, 1, tzinfo=UTC), "2024-05-10"
    days = {}
    for number in range(8):
        delay = rng.exponential(1.5 * DAY, 40_000)
        delay = delay[delay <= 7 * DAY][:20_000]
        age = (9 - number) * DAY - rng.uniform(0, DAY, len(delay))
        known = delay[delay <= age]
        days[str((start + timedelta(days=number)).date())] = curve(through, {edge: int((known <= edge).sum()) for edge in edges})
    found = estimate_delays(days, click_window=CLICK_WINDOW)
    truth = [(1 - np.exp(-edge / (1.5 * DAY))) / (1 - np.exp(-7 / 1.5)) for edge in edges]
    assert found.shares[1:] == pytest.approx(truth, abs=0.01)
    pooled = sum(entry["completeness"][2]["share"] * entry["conversions"] for entry in days.values())
    assert pooled / sum(entry["conversions"] for entry in days.values()) > truth[2] * 1.05  # what taking them as they are would say


def test_the_share_of_a_row_by_its_age():
    delays = Delays([0, 10 * HOUR, 7 * DAY], [0.1, 0.5, 1.0])
    through = datetime(2024, 5, 9, tzinfo=UTC)
    ages_h = [0, 5, 10, 5, 9 * 24]
    rows = pl.DataFrame(
        {
            "exposed_at": [through - timedelta(hours=age) for age in ages_h],
            "clicked_at": [*[through - timedelta(hours=age) for age in ages_h[:3]], None, None],
            "labelled_through": [through] * 5,
            "matures_at": [through + timedelta(days=1)] * 4 + [through],
        },
        schema_overrides={"clicked_at": pl.Datetime("us", "UTC")},
    )
    assert rows.select(delays.known_share())["known_share"].to_list() == pytest.approx([0.1, 0.3, 0.5, 0.3, 1.0])
    assert rows[4:].select(Delays([0], [0.2]).known_share()).item() == 1.0  # mature, whatever the delays
    halves = pl.concat([rows[:2].lazy(), rows[2:].lazy()]).select(delays.known_share()).collect(engine="streaming")
    assert halves.equals(rows.select(delays.known_share()))


@pytest.mark.parametrize("loss", ["product", "masked", "product_masked"])
def test_pcvr_is_that_of_all_conversions_though_half_of_them_are_not_known_yet(make_settings, make_samples, loss):
    """Conversions are hidden with chance 1 - F, F 0.2 or 0.8: the correction finds their rate, the naive loss half of it."""
    rng, final = np.random.default_rng(4), make_samples(24_000)
    share = np.where(rng.random(final.height) < 0.5, 0.2, 0.8)
    young = final.with_columns(converted=pl.col("converted") & pl.Series(rng.random(final.height) < share), known_share=pl.Series(share))
    later, ratios = make_samples(4000, seed=2), {}
    for corrected in (False, True):
        settings = make_settings(model={"loss": loss, "age_corrected": corrected}, learning_rate=0.005, table_learning_rate=0.05)
        trained = fine_tune(young.lazy(), None, profile=settings.profile, settings=settings)
        scored = score(later.lazy(), trained, profile=settings.profile, settings=settings).filter(later["clicked"])
        ratios[corrected] = scored["pcvr"].sum() / later["converted"].sum()
    assert ratios[False] == pytest.approx(0.5, abs=0.07)
    assert ratios[True] == pytest.approx(1, abs=0.07)


def test_a_corrected_loss_needs_the_share(make_settings, make_samples):
    settings = make_settings(model={"age_corrected": True})
    with pytest.raises(SettingsError, match=r"model.age_corrected: expected samples with known_share"):
        fine_tune(make_samples(50).drop("known_share").lazy(), None, profile=settings.profile, settings=settings)
