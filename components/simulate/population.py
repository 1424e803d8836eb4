"""Users, items and the shop they meet in: latent tastes, a category > shop / brand hierarchy, Zipf-like popularity.

Everything is drawn from a seeded generator and indexed by row number; ids are made from row numbers when logs are written.
"""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Booleans = NDArray[np.bool_]

NUM_TASTES = 6
NUM_CATEGORIES = 40
SHOPS_PER_CATEGORY = 12
BRANDS_PER_CATEGORY = 5
DEVICES = ("phone", "desktop", "tablet")
_DEVICE_SHARE = (0.68, 0.22, 0.10)


@dataclass(frozen=True)
class Users:
    """One row per user. `taste` is (users, tastes); the rest are vectors."""

    taste: Floats
    activity: Floats
    """Relative number of visits: Pareto, a few users make most of the traffic."""
    curiosity: Floats
    """Added to the click logit."""
    intent: Floats
    """Added to the purchase logit."""
    device: Ints
    """Usual device, an index into DEVICES."""


@dataclass(frozen=True)
class Items:
    """One row per item. `taste` is (items, tastes); the rest are vectors."""

    taste: Floats
    category: Ints
    shop: Ints
    brand: Ints
    price: Floats
    relative_price: Floats
    """Log price over the category's usual log price, in units of its spread."""
    popularity: Floats
    """Relative number of impressions: Pareto."""
    appeal: Floats
    """Added to the click logit."""
    worth: Floats
    """Added to the purchase logit."""


@dataclass(frozen=True)
class Shop:
    """What never changes: categories, shops and brands. Vectors over each, and `taste`, (categories, tastes)."""

    taste: Floats
    log_price: Floats
    category_appeal: Floats
    category_worth: Floats
    shop_appeal: Floats
    brand_worth: Floats


def draw_shop(rng: np.random.Generator) -> Shop:
    """Draw the categories, shops and brands."""
    return Shop(
        taste=rng.normal(size=(NUM_CATEGORIES, NUM_TASTES)),
        log_price=rng.normal(3.4, 0.8, NUM_CATEGORIES),
        category_appeal=rng.normal(0, 0.5, NUM_CATEGORIES),
        category_worth=rng.normal(0, 0.65, NUM_CATEGORIES),
        shop_appeal=rng.normal(0, 0.35, NUM_CATEGORIES * SHOPS_PER_CATEGORY),
        brand_worth=rng.normal(0, 0.45, NUM_CATEGORIES * BRANDS_PER_CATEGORY),
    )


def draw_users(rng: np.random.Generator, count: int) -> Users:
    """Draw `count` users."""
    return Users(
        taste=rng.normal(size=(count, NUM_TASTES)),
        activity=np.minimum(rng.pareto(1.2, count) + 0.2, 60.0),
        curiosity=rng.normal(0, 0.5, count),
        intent=rng.normal(0, 0.5, count),
        device=rng.choice(len(DEVICES), count, p=_DEVICE_SHARE),
    )


def draw_items(rng: np.random.Generator, count: int, shop: Shop) -> Items:
    """Draw `count` items, each in one category, of one shop and one brand of that category."""
    share = 1.0 / np.arange(3, NUM_CATEGORIES + 3)
    category = rng.choice(NUM_CATEGORIES, count, p=share / share.sum())
    seller = category * SHOPS_PER_CATEGORY + rng.integers(0, SHOPS_PER_CATEGORY, count)
    brand = category * BRANDS_PER_CATEGORY + rng.integers(0, BRANDS_PER_CATEGORY, count)
    relative_price = rng.normal(size=count)
    return Items(
        taste=shop.taste[category] + 0.5 * rng.normal(size=(count, NUM_TASTES)),
        category=category,
        shop=seller,
        brand=brand,
        price=np.exp(shop.log_price[category] + 0.5 * relative_price).round(2),
        relative_price=relative_price,
        popularity=np.minimum(rng.pareto(1.0, count) + 0.05, 300.0),
        appeal=shop.category_appeal[category] + shop.shop_appeal[seller] + rng.normal(0, 0.4, count),
        worth=shop.category_worth[category] + shop.brand_worth[brand] + rng.normal(0, 0.3, count),
    )


Rows = TypeVar("Rows", Users, Items)


def join(old: Rows, new: Rows) -> Rows:
    """Append rows: those that exist keep their row numbers, and so their ids."""
    columns = {field.name: np.concatenate([getattr(old, field.name), getattr(new, field.name)]) for field in fields(old)}
    return type(old)(**columns)
