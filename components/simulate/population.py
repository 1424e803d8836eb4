"""Users, items and the shop they meet in: latent tastes, department > category > brand and department > shop hierarchies, births and drift.

Everything is drawn from a seeded generator and indexed by row number, a *place*: who leaves is replaced in place by somebody with a new id.
"""

from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Booleans = NDArray[np.bool_]

NUM_TASTES, NUM_WANTS = 8, 4
NUM_DEPARTMENTS, NUM_CATEGORIES = 8, 40
SHOPS_PER_DEPARTMENT, BRANDS_PER_CATEGORY = 60, 5
DEVICES = ("phone", "desktop", "tablet")
AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55+")
SEGMENTS = ("bargain", "regular", "premium")
_DEVICE_SHARE = (0.68, 0.22, 0.10)
_AGE_SHARE = (0.20, 0.30, 0.22, 0.16, 0.12)
_SEGMENT_SHARE = (0.30, 0.50, 0.20)
_NEW_SHARE = (0.05, 0.11)  # of the ids, each day anew between these two
_FICKLE = (0.2, 1.8)  # every second place changes hands nine times as often as the one beside it
_STEADY = 0.97  # correlation of a taste with itself a day later
_MOST = 500_000  # users, and items


@dataclass(frozen=True)
class Shop:
    """What never changes. (departments or categories or age bands, tastes or wants), or vectors over categories, shops, brands."""

    taste: Floats
    want: Floats
    age_taste: Floats
    log_price: Floats
    category_worth: Floats
    shop_appeal: Floats
    brand_worth: Floats
    share: Floats
    """Of the assortment and of the traffic that follows no taste, by category."""


@dataclass(frozen=True)
class Users:
    """One row per user, the most active first. `taste` and `want`: (users, tastes or wants); the rest are vectors."""

    number: Ints
    """The id's number, in order of birth."""
    taste: Floats
    """Meets an item's taste in the click utility."""
    want: Floats
    """Meets an item's want in the purchase utility."""
    curiosity: Floats
    """Added to the click utility."""
    intent: Floats
    """Added to the purchase utility."""
    device: Ints
    """Usual device, an index into DEVICES."""
    age: Ints
    segment: Ints


@dataclass(frozen=True)
class Items:
    """One row per item, by category, the most popular of each category first. Fields as of Users."""

    number: Ints
    taste: Floats
    want: Floats
    category: Ints
    shop: Ints
    brand: Ints
    price: Floats
    relative_price: Floats
    """Log price over the category's usual log price, in units of its spread."""
    appeal: Floats
    """Added to the click utility."""
    worth: Floats
    """Added to the purchase utility."""


@dataclass(frozen=True)
class Market:
    """The shop and everybody in it on one day."""

    shop: Shop
    users: Users
    items: Items
    trend: Floats
    """Added to the click utility of a category's items: fashion."""
    edges: Ints
    """Places of a category's items: edges[c] to edges[c + 1]."""

    @classmethod
    def open(cls, rng: np.random.Generator, impressions_per_day: int) -> Self:
        """Draw the first day: 20 impressions a day for each user and item, up to half a million of either."""
        num_users = min(max(impressions_per_day // 20, 50), _MOST)
        num_items = min(max(impressions_per_day // 20, 3 * NUM_CATEGORIES), _MOST)
        shop = _draw_shop(rng)
        edges = np.round(np.concatenate([[0.0], np.cumsum(shop.share)]) * (num_items - 2 * NUM_CATEGORIES)).astype(np.int64)
        edges += 2 * np.arange(NUM_CATEGORIES + 1)
        category = np.repeat(np.arange(NUM_CATEGORIES), np.diff(edges))
        users = _draw_users(rng, rng.permutation(num_users), shop)
        items = _draw_items(rng, rng.permutation(num_items), category, shop)
        return cls(shop, users, items, rng.normal(0, 0.5, NUM_CATEGORIES), edges)

    def next_day(self, rng: np.random.Generator) -> Self:
        """Let tastes and fashions drift, and 5 to 11 % of the ids be replaced by new ones."""
        users, items = _drift(rng, self.users, self.shop), self.items
        leaving, gone = _leaving(rng, len(users.number)), _leaving(rng, len(items.number))
        comers = _draw_users(rng, _next_numbers(users.number, len(leaving)), self.shop)
        goods = _draw_items(rng, _next_numbers(items.number, len(gone)), items.category[gone], self.shop)
        trend = _STEADY * self.trend + np.sqrt(1 - _STEADY**2) * rng.normal(0, 0.5, NUM_CATEGORIES)
        return type(self)(self.shop, _replace(users, leaving, comers), _replace(items, gone, goods), trend, self.edges)


def _draw_shop(rng: np.random.Generator) -> Shop:
    department = _department(np.arange(NUM_CATEGORIES))
    share = 1.0 / np.arange(3, NUM_CATEGORIES + 3)
    return Shop(
        taste=0.7 * (rng.normal(size=(NUM_DEPARTMENTS, NUM_TASTES))[department] + rng.normal(size=(NUM_CATEGORIES, NUM_TASTES))),
        want=0.7 * (rng.normal(size=(NUM_DEPARTMENTS, NUM_WANTS))[department] + rng.normal(size=(NUM_CATEGORIES, NUM_WANTS))),
        age_taste=rng.normal(0, 0.5, (len(AGE_BANDS), NUM_TASTES)),
        log_price=rng.normal(3.4, 0.8, NUM_CATEGORIES),
        category_worth=rng.normal(0, 0.65, NUM_CATEGORIES),
        shop_appeal=rng.normal(0, 0.35, NUM_DEPARTMENTS * SHOPS_PER_DEPARTMENT),
        brand_worth=rng.normal(0, 0.45, NUM_CATEGORIES * BRANDS_PER_CATEGORY),
        share=share / share.sum(),
    )


def _draw_users(rng: np.random.Generator, number: Ints, shop: Shop) -> Users:
    count = len(number)
    age = rng.choice(len(AGE_BANDS), count, p=_AGE_SHARE).astype(np.int8)
    return Users(
        number=number,
        taste=shop.age_taste[age].astype(np.float32) + 0.87 * _normal(rng, count, NUM_TASTES),
        want=_normal(rng, count, NUM_WANTS),
        curiosity=0.5 * _normal(rng, count),
        intent=0.5 * _normal(rng, count),
        device=rng.choice(len(DEVICES), count, p=_DEVICE_SHARE).astype(np.int8),
        age=age,
        segment=rng.choice(len(SEGMENTS), count, p=_SEGMENT_SHARE).astype(np.int8),
    )


def _draw_items(rng: np.random.Generator, number: Ints, category: Ints, shop: Shop) -> Items:
    """Draw items of the given categories, each of one brand of its category and sold by one shop of its department."""
    count = len(number)
    seller = _department(category) * SHOPS_PER_DEPARTMENT + zipf(rng.random(count), SHOPS_PER_DEPARTMENT, 4.0)
    brand = category * BRANDS_PER_CATEGORY + rng.integers(0, BRANDS_PER_CATEGORY, count)
    relative_price = _normal(rng, count)
    return Items(
        number=number,
        taste=shop.taste[category].astype(np.float32) + 0.5 * _normal(rng, count, NUM_TASTES),
        want=shop.want[category].astype(np.float32) + 0.5 * _normal(rng, count, NUM_WANTS),
        category=category.astype(np.int32),
        shop=seller.astype(np.int32),
        brand=brand.astype(np.int32),
        price=np.exp(shop.log_price[category] + 0.5 * relative_price).round(2),
        relative_price=relative_price,
        appeal=shop.shop_appeal[seller].astype(np.float32) + 0.4 * _normal(rng, count),
        worth=(shop.category_worth[category] + shop.brand_worth[brand]).astype(np.float32) + 0.3 * _normal(rng, count),
    )


def zipf(uniform: Floats, count: Ints | int, offset: Ints | float) -> Ints:
    """Return ranks from 0 up to `count`, less one, of chance proportional to 1 / (rank + offset) (Zipf-Mandelbrot), for uniform draws."""
    ranks = offset * ((count + offset) / offset) ** uniform - offset
    drawn: Ints = np.minimum(ranks.astype(np.int64), np.asarray(count) - 1)
    return drawn


def _department(category: Ints) -> Ints:
    return category % NUM_DEPARTMENTS


def _normal(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.standard_normal(shape, dtype=np.float32)


def _drift(rng: np.random.Generator, users: Users, shop: Shop) -> Users:
    usual = shop.age_taste[users.age].astype(np.float32)
    step = float(np.sqrt(1 - _STEADY**2))
    columns = {field.name: getattr(users, field.name) for field in fields(users)}
    columns["taste"] = usual + _STEADY * (users.taste - usual) + step * 0.87 * _normal(rng, *users.taste.shape)
    columns["want"] = _STEADY * users.want + step * _normal(rng, *users.want.shape)
    return Users(**columns)


def _leaving(rng: np.random.Generator, count: int) -> Ints:
    """Return the places whose holders leave tonight: at least one."""
    hazard = rng.uniform(*_NEW_SHARE) * np.array(_FICKLE)[np.arange(count) % 2]
    places = np.flatnonzero(rng.random(count) < hazard)
    return places if len(places) else rng.integers(0, count, 1)


def _next_numbers(taken: Ints, count: int) -> Ints:
    numbers: Ints = taken.max() + 1 + np.arange(count)
    return numbers


Rows = TypeVar("Rows", Users, Items)


def _replace(old: Rows, places: Ints, new: Rows) -> Rows:
    columns = {field.name: getattr(old, field.name).copy() for field in fields(old)}
    for name, column in columns.items():
        column[places] = getattr(new, name)
    return type(old)(**columns)
