"""One day of the shop: which item is shown to whom, where and when, and what the user then does.

All draws of a day come from one generator, so a day depends on the seed and on its number only.
"""

from dataclasses import dataclass

import numpy as np

from components.simulate.population import DEVICES, NUM_CATEGORIES, Booleans, Floats, Ints, Items, Users

SCENES = ("home", "search", "category", "detail", "cart")
_SCENE_SHARE = (0.46, 0.25, 0.14, 0.08, 0.07)
_SCENE_CLICK: Floats = np.array([0.0, 0.5, 0.1, -0.3, 0.2])
_SCENE_PURCHASE: Floats = np.array([0.0, 0.5, 0.1, 0.3, 0.8])
_SCENE_PERSONAL: Floats = np.array([0.35, 0.8, 0.5, 0.5, 0.6])  # share of items drawn from what the user likes
_DEVICE_CLICK: Floats = np.array([0.0, 0.15, -0.1])
_DEVICE_PURCHASE: Floats = np.array([-0.2, 0.6, 0.1])
_HOURS: Floats = np.array(  # relative traffic by UTC hour; the last 6 hold 31 %
    [2.0, 1.2, 0.8, 0.7, 0.8, 1.5, 2.5, 3.5, 4.5, 5.0, 5.3, 5.6, 5.8, 5.8, 5.6, 5.4, 5.4, 5.6, 6.0, 6.4, 6.3, 5.4, 3.9, 2.3]
)
_HOUR_MS = 3_600_000
_MAX_PAGE = 12
ACTION_LIFT = 1.5
"""Added to the purchase logit by a cart or wish-list action."""


@dataclass(frozen=True)
class Impressions:
    """One row per impression, in order of time. Users, items, scenes and devices are row numbers."""

    user: Ints
    item: Ints
    scene: Ints
    device: Ints
    position: Ints
    exposed_ms: Ints
    """Milliseconds since the day began."""


@dataclass(frozen=True)
class Base:
    """Constants of the logits, set so that the shop has the wanted rates."""

    click: float
    purchase: float


def draw_impressions(rng: np.random.Generator, count: int, users: Users, items: Items, liking: Floats) -> Impressions:
    """Draw `count` impressions in pages of up to 12 positions. `liking`: (users, categories), cumulative, last column 1."""
    size = rng.integers(4, _MAX_PAGE + 1, count // 4 + 1)
    num_pages = int(np.searchsorted(np.cumsum(size), count)) + 1
    page = np.repeat(np.arange(num_pages), size[:num_pages])[:count]
    start = np.cumsum(size) - size
    position = np.arange(count) - start[page]
    user = _draw(rng, users.activity, num_pages)[page]
    scene = rng.choice(len(SCENES), num_pages, p=_SCENE_SHARE)[page]
    other = rng.integers(0, len(DEVICES), num_pages)[page]
    device = np.where((rng.random(num_pages) < 0.12)[page], other, users.device[user])
    item = _choose_items(rng, user, scene, items, liking)
    hour = _draw(rng, _HOURS, num_pages)
    opened = np.minimum(hour * _HOUR_MS + rng.integers(0, _HOUR_MS, num_pages), 24 * _HOUR_MS - 2000 * _MAX_PAGE)
    exposed = opened[page] + position * 1700 + rng.integers(0, 300, count)
    order = np.lexsort((position, exposed))
    return Impressions(*(column[order] for column in (user, item, scene, device, position + 1, exposed)))


def click_logit(shown: Impressions, users: Users, items: Items) -> Floats:
    """Return the click logit of an examined impression, less the constant."""
    steady = items.appeal[shown.item] + users.curiosity[shown.user] - 0.15 * items.relative_price[shown.item]
    return steady + 0.9 * _affinity(shown, users, items) + _SCENE_CLICK[shown.scene] + _DEVICE_CLICK[shown.device]


def purchase_logit(shown: Impressions, users: Users, items: Items) -> Floats:
    """Return the purchase logit of a clicked impression without an action, less the constant."""
    steady = items.worth[shown.item] + users.intent[shown.user] - 0.4 * items.relative_price[shown.item]
    return steady + 0.5 * _affinity(shown, users, items) + _SCENE_PURCHASE[shown.scene] + _DEVICE_PURCHASE[shown.device]


def click_probability(shown: Impressions, logit: Floats, base: float) -> Floats:
    """Return P(click) = P(examined at this position) x P(click if examined)."""
    examined: Floats = np.power(shown.position.astype(np.float64), -0.35)
    return examined * _sigmoid(logit + base)


def action_probability(logit: Floats, base: float) -> Floats:
    """Return P(cart or wish list | click), which follows the purchase logit."""
    return _sigmoid(0.7 * logit + base + 2.5)


def purchase_probability(logit: Floats, acted: Booleans, base: float) -> Floats:
    """Return P(purchase | click, action or none)."""
    return _sigmoid(logit + base + ACTION_LIFT * acted)


def purchase_delay_ms(rng: np.random.Generator, count: int) -> Ints:
    """Draw click-to-purchase delays: 3 of 4 within half an hour, a fifth within the day, a tail of up to 9 days."""
    minute = 60_000.0
    kind = rng.choice(3, count, p=(0.76, 0.16, 0.08))
    quick = rng.lognormal(np.log(6 * minute), 0.8, count)
    hours = rng.exponential(300 * minute, count) + 10 * minute
    days = rng.exponential(2.2 * 1440 * minute, count) + 600 * minute
    delay: Floats = np.where(kind == 0, quick, np.where(kind == 1, hours, days))
    return delay.clip(20_000, 9 * 1440 * minute).astype(np.int64)


def like_categories(users: Users, category_taste: Floats) -> Floats:
    """Return each user's cumulative distribution over categories, (users, categories)."""
    score: Floats = np.einsum("uk,ck->uc", users.taste, category_taste)  # not @: BLAS bytes depend on the machine's threads
    weight = np.exp(1.2 * score / np.sqrt(users.taste.shape[1]))
    cumulative: Floats = np.cumsum(weight, axis=1)
    return cumulative / cumulative[:, -1:]


def _choose_items(rng: np.random.Generator, user: Ints, scene: Ints, items: Items, liking: Floats) -> Ints:
    """Draw items by popularity, within a category that the user likes for the personal share of the scene."""
    by_category = np.argsort(items.category, kind="stable")
    heat = np.concatenate([[0.0], np.cumsum(items.popularity[by_category])])
    edges = np.searchsorted(items.category[by_category], np.arange(NUM_CATEGORIES + 1))
    liked = (rng.random((len(user), 1)) > liking[user]).sum(axis=1).clip(max=NUM_CATEGORIES - 1)
    personal = (rng.random(len(user)) < _SCENE_PERSONAL[scene]) & (edges[liked] < edges[liked + 1])
    low = np.where(personal, heat[edges[liked]], 0.0)
    high = np.where(personal, heat[edges[liked + 1]], heat[-1])
    place = np.searchsorted(heat, low + rng.random(len(user)) * (high - low), side="right") - 1
    chosen: Ints = by_category[place.clip(0, len(by_category) - 1)]
    return chosen


def _affinity(shown: Impressions, users: Users, items: Items) -> Floats:
    product: Floats = np.einsum("nk,nk->n", users.taste[shown.user], items.taste[shown.item])
    return product / float(np.sqrt(users.taste.shape[1] * 1.25))


def _draw(rng: np.random.Generator, weight: Floats, count: int) -> Ints:
    cumulative = np.cumsum(weight)
    drawn: Ints = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    return drawn


def _sigmoid(logit: Floats) -> Floats:
    value: Floats = 1.0 / (1.0 + np.exp(-logit))
    return value
