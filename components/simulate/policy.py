"""The shop's ranking: which items a page shows, in which order. Better than chance, since it guesses the click utility; far from perfect.

A page is one user's request. Three candidates for each position are retrieved by popularity and taste; a noisy score keeps the best third.
"""

from dataclasses import dataclass

import numpy as np

from components.simulate.behaviour import SCENES, Pairs, utilities
from components.simulate.population import DEVICES, NUM_CATEGORIES, NUM_TASTES, Booleans, Floats, Ints, Market, zipf

RETRIEVED = 3
"""Candidates per position."""
MAX_PAGE = 12
_SCENE_SHARE = (0.46, 0.25, 0.14, 0.08, 0.07)
_SCENE_PERSONAL: Floats = np.array([0.35, 0.8, 0.5, 0.5, 0.6])  # share of candidates from categories that the user likes
_SCENE_FOCUSED: Booleans = np.array([False, True, True, False, False])  # whether all of a page's candidates are of one category
_NOISE = 1.3  # of the score, about the spread of the click utility
_EXPLORED = 0.1  # of the pages, which are ordered by the noise alone
_POPULAR, _ACTIVE = 1.0, 0.03  # offsets of Zipf's law: of items, in ranks; of users, in shares of them
_HOURS: Floats = np.array(  # relative traffic by UTC hour; the last 6 hold 31 %
    [2.0, 1.2, 0.8, 0.7, 0.8, 1.5, 2.5, 3.5, 4.5, 5.0, 5.3, 5.6, 5.8, 5.8, 5.6, 5.4, 5.4, 5.6, 6.0, 6.4, 6.3, 5.4, 3.9, 2.3]
)
_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Pages:
    """One row per page; user, scene and device as of Pairs."""

    user: Ints
    scene: Ints
    device: Ints
    size: Ints
    """Positions."""
    opened_ms: Ints
    """Milliseconds since the day began."""


@dataclass(frozen=True)
class Impressions:
    """One row per impression, in order of time."""

    pairs: Pairs
    position: Ints
    """From 1."""
    exposed_ms: Ints
    """Milliseconds since the day began."""
    click: Floats
    """Click utility."""
    purchase: Floats
    """Purchase utility."""


def clock_ms(share: Floats | float) -> Ints:
    """Return when a share of the day's traffic has passed, in milliseconds since the day began."""
    passed = np.concatenate([[0.0], np.cumsum(_HOURS) / _HOURS.sum()])
    hours: Floats = np.interp(share, passed, np.arange(25.0))
    return (hours * _HOUR_MS).astype(np.int64)


def draw_impressions(
    rng: np.random.Generator, count: int, market: Market, *, correlation: float, between: tuple[float, float]
) -> Impressions:
    """Draw `count` impressions of the pages opened between two shares of the day's traffic."""
    pages = _draw_pages(rng, count, market, between)
    page = np.repeat(np.arange(len(pages.size)), RETRIEVED * pages.size)
    item = _retrieve(rng, pages, page, market)
    candidates = Pairs(pages.user[page], item, pages.scene[page], pages.device[page])
    click, purchase = utilities(candidates, market, correlation)
    best, position = _rank(rng, page, item, click, pages.size)
    exposed = pages.opened_ms[page[best]] + (position - 1) * 1700 + rng.integers(0, 300, count)
    order = np.lexsort((position, exposed))
    rows = best[order]
    return Impressions(candidates.take(rows), position[order], exposed[order], click[rows], purchase[rows])


def draw_pairs(rng: np.random.Generator, count: int, market: Market) -> Pairs:
    """Draw pairs of any user and any item, each equally likely, whatever the policy would show."""
    scene, device = rng.choice(len(SCENES), count, p=_SCENE_SHARE), rng.integers(0, len(DEVICES), count)
    user, item = rng.integers(0, len(market.users.number), count), rng.integers(0, len(market.items.number), count)
    return Pairs(user, item, scene, device)


def _draw_pages(rng: np.random.Generator, count: int, market: Market, between: tuple[float, float]) -> Pages:
    """Draw pages of 4 to 12 positions; the last is cut where the impressions are enough."""
    size = rng.integers(4, MAX_PAGE + 1, count // 4 + 1)
    num_pages = int(np.searchsorted(np.cumsum(size), count)) + 1
    size = size[:num_pages]
    size[-1] -= size.sum() - count
    num_users = len(market.users.number)
    user = zipf(rng.random(num_pages), num_users, _ACTIVE * num_users)
    other = rng.integers(0, len(DEVICES), num_pages)
    device = np.where(rng.random(num_pages) < 0.12, other, market.users.device[user])
    opened = np.minimum(clock_ms(rng.uniform(*between, num_pages)), 24 * _HOUR_MS - 2000 * MAX_PAGE)
    return Pages(user, rng.choice(len(SCENES), num_pages, p=_SCENE_SHARE), device, size, opened)


def _retrieve(rng: np.random.Generator, pages: Pages, page: Ints, market: Market) -> Ints:
    """Draw each candidate's category, by the user's taste or by the traffic at large, and its item, by popularity in the category."""
    liked = _like(market, pages.user) + np.arange(len(pages.user))[:, None]  # ascending over all pages
    focused = _SCENE_FOCUSED[pages.scene][page]
    aim = np.where(focused, rng.random(len(pages.user))[page], rng.random(len(page)))
    by_taste = np.searchsorted(liked.ravel(), page + aim, side="right") - page * NUM_CATEGORIES
    by_traffic = np.searchsorted(np.cumsum(market.shop.share), aim, side="right")
    personal = rng.random(len(page)) < _SCENE_PERSONAL[pages.scene][page]
    category = np.where(personal | focused, by_taste, by_traffic).clip(0, NUM_CATEGORIES - 1)
    first, last = market.edges[category], market.edges[category + 1]
    item: Ints = first + zipf(rng.random(len(page)), last - first, _POPULAR)
    return item


def _like(market: Market, user: Ints) -> Floats:
    """Return users' cumulative distributions over categories, (users, categories)."""
    score: Floats = np.einsum("uk,ck->uc", market.users.taste[user].astype(np.float64), market.shop.taste)
    weight = market.shop.share * np.exp(1.2 * score / np.sqrt(NUM_TASTES))
    cumulative: Floats = np.cumsum(weight, axis=1)
    return cumulative / cumulative[:, -1:]


def _rank(rng: np.random.Generator, page: Ints, item: Ints, click: Floats, size: Ints) -> tuple[Ints, Ints]:
    """Return the rows of the candidates that each page shows, best guess first, and their positions from 1."""
    explored = (rng.random(len(size)) < _EXPLORED)[page]
    guess = np.where(explored, 0.0, click) + _NOISE * rng.standard_normal(len(page))
    guess[_repeated(page, item)] -= 100.0  # a page shows an item twice only where there is nothing else
    order = np.lexsort((-guess, page))
    place = np.arange(len(page)) - np.repeat(RETRIEVED * (np.cumsum(size) - size), RETRIEVED * size)
    shown = place < np.repeat(size, RETRIEVED * size)
    return order[shown], place[shown] + 1


def _repeated(page: Ints, item: Ints) -> Booleans:
    """Tell which candidates are on their page already."""
    key = page * (int(item.max()) + 1) + item
    order = np.argsort(key, kind="stable")
    repeated = np.zeros(len(page), dtype=np.bool_)
    repeated[order[1:]] = key[order[1:]] == key[order[:-1]]
    return repeated
