"""Chances and delays against hand-made and closed answers."""

import numpy as np
import pytest

from components.simulate import behaviour
from components.simulate.behaviour import Base
from components.simulate.worlds import WORLDS, World, find_world


def test_chances_are_logistic_and_an_action_raises_the_chance_to_buy():
    found = behaviour.chances(np.array([0.0, 1.0]), np.array([0.5, -0.5]), Base(-1.0, -2.0, -3.0), confounder=0.0)
    assert found.moods.tolist() == [0.0]
    assert found.relevant[0] == pytest.approx([1 / (1 + np.e), 0.5])
    assert found.acted[0, 0] == pytest.approx(1 / (1 + np.exp(2 - 0.35)))
    assert found.bought_without[0, 0] == pytest.approx(1 / (1 + np.exp(2.5)))
    assert (found.bought_after > 3 * found.bought_without).all()
    mixed = found.acted * found.bought_after + (1 - found.acted) * found.bought_without
    assert found.bought == pytest.approx(mixed)


def test_a_confounder_moves_click_action_and_purchase_together():
    low, high = (behaviour.chances(np.array([at]), np.array([at]), Base(-1.0, -2.0, -3.0), 0.0) for at in (-0.7, 0.7))
    found = behaviour.chances(np.zeros(1), np.zeros(1), Base(-1.0, -2.0, -3.0), confounder=0.7)
    for name in ("relevant", "acted", "bought_without", "bought_after"):
        assert getattr(found, name)[:, 0] == pytest.approx([getattr(low, name)[0, 0], getattr(high, name)[0, 0]])


@pytest.mark.parametrize("name", WORLDS)
def test_the_constants_give_the_wanted_rates(name):
    rng, world = np.random.default_rng(1), WORLDS[name]
    click, purchase, position = rng.normal(0, 1.3, 5000), rng.normal(0, 1.2, 5000), rng.integers(1, 13, 5000)
    found = behaviour.chances(click, purchase, behaviour.settle(click, purchase, position, world), world.confounder)
    clicked = position**-0.5 * found.relevant
    rates = clicked.mean(), np.average(found.acted, weights=clicked), np.average(found.bought, weights=clicked)
    assert rates == pytest.approx((world.ctr, world.acted, world.cvr), rel=1e-6)


def test_examination_falls_with_the_position():
    assert behaviour.examination(np.array([1, 4, 9])) == pytest.approx([1.0, 1 / 2, 1 / 3])


def test_three_purchases_of_five_follow_within_half_an_hour_and_the_last_within_seven_days():
    days = behaviour.purchase_delay_ms(np.random.default_rng(3), 100_000) / 86_400_000
    assert 0.58 < np.mean(days <= 1 / 48) < 0.63
    assert 0.85 < np.mean(days <= 1) < 0.90
    assert 0.02 < np.mean(days > 4) < 0.05
    assert 6.9 < days.max() <= 7


def test_clicks_follow_at_once_or_within_two_hours():
    seconds = behaviour.click_delay_ms(np.random.default_rng(3), 100_000) / 1000
    assert seconds.min() >= 1.2
    assert 0.95 < np.mean(seconds < 90) < 0.99
    assert 3600 < seconds.max() <= 7200


def test_an_unknown_world_is_refused_with_the_names_of_the_known():
    assert find_world("dense") == World(ctr=0.05, cvr=0.10, acted=0.20, correlation=0.4, confounder=0.0)
    with pytest.raises(ValueError, match=r"expected a world among default, dense, .*, found densest"):
        find_world("densest")
