"""What users do with what they are shown: utilities, the chances that follow from them, and the delays. Nothing here is ever logged.

click = examined x relevant; a purchase outcome is drawn for every impression and seen only after a click.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.simulate.population import NUM_TASTES, NUM_WANTS, Floats, Ints, Market
from components.simulate.worlds import World

SCENES = ("home", "search", "category", "detail", "cart")
EXAMINATION = 0.5
"""P(examined) = position ** -EXAMINATION."""
CLICK_WINDOW_MS, PURCHASE_WINDOW_MS = 86_400_000, 7 * 86_400_000
_SCENE_CLICK: Floats = np.array([0.0, 0.5, 0.1, -0.3, 0.2])
_SCENE_PURCHASE: Floats = np.array([0.0, 0.5, 0.1, 0.3, 0.8])
_DEVICE_CLICK: Floats = np.array([0.0, 0.15, -0.1])
_DEVICE_PURCHASE: Floats = np.array([-0.2, 0.6, 0.1])
_SENSITIVITY: Floats = np.array([0.7, 0.4, 0.1])  # of the purchase utility to the relative price, by segment
_CLICK_SPREAD, _PURCHASE_SPREAD = 1.25, 1.2  # of the two utilities below over random pairs, roughly
_ACTION_LIFT = 2.0  # added to the purchase logit by a cart or wish-list action
_MINUTE_MS = 60_000.0


@dataclass(frozen=True)
class Pairs:
    """A user before an item, one row each: row numbers of the market, and indices into SCENES and DEVICES."""

    user: Ints
    item: Ints
    scene: Ints
    device: Ints

    def take(self, rows: Ints) -> "Pairs":
        """Return some of the rows."""
        return Pairs(self.user[rows], self.item[rows], self.scene[rows], self.device[rows])


@dataclass(frozen=True)
class Base:
    """Constants of the logits, set so that the shop has the wanted rates."""

    click: float
    action: float
    purchase: float


@dataclass(frozen=True)
class Chances:
    """Probabilities by hidden mood and pair, (moods, pairs); the moods are equally likely, and one only in a world without a confounder."""

    moods: Floats
    relevant: Floats
    """P(click | examined)."""
    acted: Floats
    """P(action | click)."""
    bought_without: Floats
    """P(purchase | click, no action)."""
    bought_after: Floats
    """P(purchase | click, action)."""

    @property
    def bought(self) -> Floats:
        """P(purchase | click), before it is known whether an action follows."""
        return self.acted * self.bought_after + (1 - self.acted) * self.bought_without


def utilities(pairs: Pairs, market: Market, correlation: float) -> tuple[Floats, Floats]:
    """Return the click and the purchase utility of each pair: their logits less the constants and the mood."""
    users, items, user, item = market.users, market.items, pairs.user, pairs.item
    price = items.relative_price[item]
    attraction = items.appeal[item] + market.trend[items.category[item]] + users.curiosity[user] - 0.15 * price
    attraction += 0.9 * _dot(users.taste[user], items.taste[item]) / float(np.sqrt(NUM_TASTES * 1.2))
    need = items.worth[item] + users.intent[user] - _SENSITIVITY[users.segment[user]] * price
    need += 0.5 * _dot(users.want[user], items.want[item]) / float(np.sqrt(NUM_WANTS * 1.2))
    purchase = np.sqrt(1 - correlation**2) * need + correlation * _PURCHASE_SPREAD / _CLICK_SPREAD * attraction
    return (
        attraction + _SCENE_CLICK[pairs.scene] + _DEVICE_CLICK[pairs.device],
        purchase + _SCENE_PURCHASE[pairs.scene] + _DEVICE_PURCHASE[pairs.device],
    )


def chances(click: Floats, purchase: Floats, base: Base, confounder: float) -> Chances:
    """Return the chances that the utilities give."""
    moods: Floats = np.array([-1.0, 1.0]) if confounder else np.zeros(1)
    push = confounder * moods[:, None]
    buying = purchase + push
    return Chances(
        moods,
        relevant=_sigmoid(click + push + base.click),
        acted=_sigmoid(0.7 * buying + base.action),
        bought_without=_sigmoid(buying + base.purchase),
        bought_after=_sigmoid(buying + base.purchase + _ACTION_LIFT),
    )


def examination(position: Ints) -> Floats:
    """Return P(examined) at positions from 1."""
    looked: Floats = np.power(position.astype(np.float64), -EXAMINATION)
    return looked


def settle(click: Floats, purchase: Floats, position: Ints, world: World) -> Base:
    """Return the constants at which impressions of these utilities and positions have the world's rates."""
    examined = examination(position)

    def given(base: Base) -> Chances:
        return chances(click, purchase, base, world.confounder)

    def per_click(base: Base, outcome: Callable[[Chances], Floats]) -> float:
        found = given(base)
        return float(np.average(outcome(found), weights=examined * found.relevant))

    at = _solve(lambda value: float(np.mean(examined * given(Base(value, 0, 0)).relevant)), world.ctr)
    act = _solve(lambda value: per_click(Base(at, value, 0), lambda found: found.acted), world.acted)
    buy = _solve(lambda value: per_click(Base(at, act, value), lambda found: found.bought), world.cvr)
    return Base(at, act, buy)


def click_delay_ms(rng: np.random.Generator, count: int) -> Ints:
    """Draw exposure-to-click delays: some seconds; for one in 50, who comes back to the page, up to two hours."""
    at_once = 1200 + rng.exponential(14_000, count)
    reopened = rng.uniform(600_000, 7_200_000, count)
    delay: Floats = np.where(rng.random(count) < 0.02, reopened, at_once)
    return np.minimum(delay, CLICK_WINDOW_MS).astype(np.int64)


def action_delay_ms(rng: np.random.Generator, count: int) -> Ints:
    """Draw click-to-action delays: a minute or two."""
    return (3000 + rng.exponential(90_000, count)).astype(np.int64)


def purchase_delay_ms(rng: np.random.Generator, count: int) -> Ints:
    """Draw click-to-purchase delays: 60 % within half an hour, 87 % within the day, a tail that ends at seven days."""
    sort = rng.random(count)
    quick = rng.lognormal(np.log(6 * _MINUTE_MS), 0.8, count)
    hours = rng.exponential(300 * _MINUTE_MS, count) + 10 * _MINUTE_MS
    days = rng.exponential(2.5 * 1440 * _MINUTE_MS, count) % (PURCHASE_WINDOW_MS - 600 * _MINUTE_MS) + 600 * _MINUTE_MS
    delay: Floats = np.select([sort < 0.60, sort < 0.84], [quick, hours], days)
    return delay.clip(20_000, PURCHASE_WINDOW_MS).astype(np.int64)


def _dot(left: Floats, right: Floats) -> Floats:
    product: Floats = np.einsum("nk,nk->n", left, right)  # not @: BLAS bytes depend on the machine's threads
    return product


def _sigmoid(logit: Floats) -> Floats:
    value: Floats = 1.0 / (1.0 + np.exp(-logit))
    return value


def _solve(rate: Callable[[float], float], wanted: float) -> float:
    """Return where the rising function `rate` takes the wanted value, by bisection."""
    low, high = -16.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if rate(middle) < wanted else (low, middle)
    return low
