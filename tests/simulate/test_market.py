"""Who lives in the shop, how it changes overnight, and what the policy shows."""

import numpy as np
import pytest

from components.simulate import behaviour, policy
from components.simulate.population import NUM_CATEGORIES, NUM_DEPARTMENTS, SHOPS_PER_DEPARTMENT, Market, zipf

BOTH = (0.0, 1.0)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.open(np.random.default_rng(1), 100_000)


def show(market: Market, count: int = 40_000) -> policy.Impressions:
    return policy.draw_impressions(np.random.default_rng(2), count, market, correlation=0.4, between=BOTH)


def test_ranks_are_drawn_by_zipfs_law():
    drawn = zipf(np.random.default_rng(1).random(200_000), 50, 2.0)
    expected = np.log((np.arange(50) + 3) / (np.arange(50) + 2)) / np.log(52 / 2)
    assert np.abs(np.bincount(drawn, minlength=50) / 200_000 - expected).max() < 0.003


def test_categories_shops_and_brands_are_a_hierarchy(market):
    items = market.items
    assert (items.brand // 5 == items.category).all()
    assert (items.shop // SHOPS_PER_DEPARTMENT == items.category % NUM_DEPARTMENTS).all()
    assert market.edges.tolist() == np.searchsorted(items.category, np.arange(NUM_CATEGORIES + 1)).tolist()
    assert np.diff(market.edges).min() >= 2


def test_overnight_some_ids_are_new_and_the_others_keep_all_but_their_tastes(market):
    later = market.next_day(np.random.default_rng(3))
    for before, after in ((market.users, later.users), (market.items, later.items)):
        stayed = before.number == after.number
        assert 0.04 < 1 - stayed.mean() < 0.12
        newcomers = np.sort(after.number[~stayed])
        assert newcomers.tolist() == list(range(len(stayed), len(stayed) + len(newcomers)))
        assert (~stayed)[1::2].sum() / (~stayed)[::2].sum() > 3  # half of the places change hands more often
    stayed = market.users.number == later.users.number
    moved = np.corrcoef(market.users.taste[stayed].ravel(), later.users.taste[stayed].ravel())[0, 1]
    assert 0.95 < moved < 0.985
    assert np.array_equal(market.users.age[stayed], later.users.age[stayed])
    assert 0.02 < np.abs(market.trend - later.trend).mean() < 0.3


def test_tastes_drift_without_growing_or_shrinking(market):
    rng, later = np.random.default_rng(3), market
    for _ in range(20):
        later = later.next_day(rng)
    assert later.users.taste.std() == pytest.approx(market.users.taste.std(), rel=0.05)
    assert later.trend.std() == pytest.approx(0.5, abs=0.2)


def test_the_policy_is_better_than_chance_and_worse_than_knowledge(market, monkeypatch):
    chosen = show(market).click.mean()
    monkeypatch.setattr(policy, "_EXPLORED", 1.0)
    random = show(market).click.mean()
    monkeypatch.setattr(policy, "_EXPLORED", 0.0)
    monkeypatch.setattr(policy, "_NOISE", 0.0)
    best = show(market).click.mean()
    assert random + 0.3 < chosen < best - 0.3


def test_the_policy_puts_the_better_guess_first(market):
    shown = show(market)
    by_position = [shown.click[shown.position == position].mean() for position in (1, 4, 8)]
    assert by_position == sorted(by_position, reverse=True)
    assert -0.4 < np.corrcoef(shown.position, shown.click)[0, 1] < -0.1


def test_a_page_prefers_items_that_it_does_not_show_already():
    page, item = np.repeat([0, 1], 6), np.array([5, 5, 5, 6, 7, 8, 5, 5, 5, 5, 5, 5])
    rows, position = policy._rank(np.random.default_rng(1), page, item, np.zeros(12), np.array([2, 2]))
    assert position.tolist() == [1, 2, 1, 2]
    assert len(set(item[rows[:2]].tolist())) == 2
    assert item[rows[2:]].tolist() == [5, 5]


def test_impressions_stand_in_order_of_time_and_on_pages(market):
    shown = policy.draw_impressions(np.random.default_rng(2), 10_000, market, correlation=0.4, between=(0.25, 0.5))
    assert len(shown.position) == 10_000
    assert (np.diff(shown.exposed_ms) >= 0).all()
    assert shown.exposed_ms.min() >= policy.clock_ms(0.25)
    assert shown.exposed_ms.max() <= policy.clock_ms(0.5) + 24_000
    assert (shown.position.min(), shown.position.max()) == (1, policy.MAX_PAGE)


def test_the_clock_follows_the_daily_curve():
    assert [int(policy.clock_ms(share)) for share in (0.0, 1.0)] == [0, 86_400_000]
    assert 17.9 < policy.clock_ms(0.69) / 3_600_000 < 18.3


def test_the_utilities_are_correlated_as_the_world_says(market):
    pairs = policy.draw_pairs(np.random.default_rng(4), 50_000, market)
    for asked, (low, high) in {0.4: (0.3, 0.6), 0.0: (-0.15, 0.15), -0.4: (-0.6, -0.25)}.items():
        click, purchase = behaviour.utilities(pairs, market, asked)
        assert low < np.corrcoef(click, purchase)[0, 1] < high
        assert 0.9 < purchase.std() < 1.6
    assert 1.0 < click.std() < 1.6
