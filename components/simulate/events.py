"""What a block's impressions lead to: outcomes drawn for every impression, and the events that a log would hold of them.

A frame's `arrives` is the number of the day, counted from the first, in whose partition the row is delivered.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

from components.profile import Kind
from components.simulate.behaviour import SCENES, Chances, Pairs, action_delay_ms, click_delay_ms, examination, purchase_delay_ms
from components.simulate.policy import Impressions
from components.simulate.population import (
    AGE_BANDS,
    BRANDS_PER_CATEGORY,
    DEVICES,
    NUM_CATEGORIES,
    NUM_DEPARTMENTS,
    SEGMENTS,
    SHOPS_PER_DEPARTMENT,
    Booleans,
    Ints,
    Market,
)

DAY_MS = 86_400_000
_LATE_CLICKS = 0.015
_LATE_PURCHASES = 0.03
_UNLINKED_CLICKS = 0.05
_RESENT = 0.001
_ORGANIC = 0.05


@dataclass(frozen=True)
class Block:
    """A part of a day."""

    day: int
    """Number of the day, from 0."""
    on: date
    number: int
    first: int
    """Number of the first impression in the day."""
    until_ms: int
    """Milliseconds since the day began at which the next block begins."""
    rng: np.random.Generator

    def due(self, time: str) -> pl.Expr:
        """Return which events are in today's log up to the block's end; `time` is the column of their time."""
        until: datetime = self.instants(np.array([self.until_ms])).item()
        return (pl.col("arrives") == self.day) & (pl.col(time) < until)

    def instants(self, ms: Ints) -> pl.Series:
        """Return UTC instants from milliseconds since the day began."""
        start = datetime.combine(self.on, time(), UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return pl.Series(ms * 1000 + start // timedelta(microseconds=1)).cast(pl.Datetime("us", "UTC"))

    def impression_ids(self, rows: Ints) -> pl.Series:
        """Return the ids of the block's impressions, numbered through the day."""
        return _names(f"i-{self.on:%Y%m%d}-", self.first + rows)

    def ids(self, prefix: str, count: int) -> pl.Series:
        """Return ids that name the day, the block and the row, unique over all days."""
        return _names(f"{prefix}-{self.on:%Y%m%d}-{self.number}-", np.arange(count))

    def arrivals(self, ms: Ints, late: float) -> Ints:
        """Return arrival days: the event's own, or, for the share `late`, one or two days after."""
        lag = np.where(self.rng.random(len(ms)) < late, self.rng.integers(1, 3, len(ms)), 0)
        arrives: Ints = self.day + ms // DAY_MS + lag
        return arrives


@dataclass(frozen=True)
class Outcomes:
    """What happens, and what would have happened, to each impression: Booleans and milliseconds of the length of the block."""

    mood: Ints
    """Index into the moods of the Chances."""
    examined: Booleans
    relevant: Booleans
    acts: Booleans
    """Whether a click would be followed by an action."""
    buys: Booleans
    """Whether a click would be followed by a purchase."""
    click_ms: Ints
    """Exposure to click."""
    action_ms: Ints
    """Click to action."""
    purchase_ms: Ints
    """Click to purchase; after the action where there is one."""

    @property
    def clicked(self) -> Booleans:
        """Whether the impression is clicked."""
        return self.examined & self.relevant


def draw_outcomes(rng: np.random.Generator, shown: Impressions, found: Chances) -> Outcomes:
    """Draw the hidden mood, whether the impression is looked at and liked, and what a click would lead to, and when."""
    count = len(shown.position)
    mood, rows = rng.integers(0, len(found.moods), count), np.arange(count)
    looks, likes, acts, buys = rng.random((4, count))
    acted = acts < found.acted[mood, rows]
    action_ms, purchase_ms = action_delay_ms(rng, count), purchase_delay_ms(rng, count)
    return Outcomes(
        mood=mood,
        examined=looks < examination(shown.position),
        relevant=likes < found.relevant[mood, rows],
        acts=acted,
        buys=buys < np.where(acted, found.bought_after[mood, rows], found.bought_without[mood, rows]),
        click_ms=click_delay_ms(rng, count),
        action_ms=action_ms,
        purchase_ms=np.where(acted, np.maximum(purchase_ms, action_ms + 5000), purchase_ms),
    )


def log_events(block: Block, shown: Impressions, outcomes: Outcomes, market: Market) -> dict[Kind, pl.DataFrame]:
    """Return the events of a block's impressions, whenever they happen and arrive."""
    clicked, acted, bought = (np.flatnonzero(outcomes.clicked & then) for then in (True, outcomes.acts, outcomes.buys))
    clicked_ms = shown.exposed_ms + outcomes.click_ms
    acted_ms, bought_ms = clicked_ms + outcomes.action_ms, clicked_ms + outcomes.purchase_ms
    return {
        "impressions": _impressions(block, shown, market),
        "clicks": _follow_ups(block, shown.pairs.take(clicked), clicked, clicked_ms, ("click_id", "clicked_at", "c"), market),
        "actions": _follow_ups(block, shown.pairs.take(acted), acted, acted_ms, ("action_id", "acted_at", "a"), market),
        "purchases": _purchases(block, shown.pairs, bought, bought_ms, market),
    }


def describe(pairs: Pairs, market: Market) -> dict[str, pl.Series]:
    """Return what a log says of each pair: ids, context and the user's age band and segment."""
    users, items = market.users, market.items
    return {
        "user_id": _names("u", users.number[pairs.user]),
        "item_id": _names("item", items.number[pairs.item]),
        "cat_id": _pick([f"cat{number}" for number in range(NUM_CATEGORIES)], items.category[pairs.item]),
        "shop_id": _pick([f"shop{number}" for number in range(NUM_DEPARTMENTS * SHOPS_PER_DEPARTMENT)], items.shop[pairs.item]),
        "brand_id": _pick([f"brand{number}" for number in range(NUM_CATEGORIES * BRANDS_PER_CATEGORY)], items.brand[pairs.item]),
        "scene": _pick(SCENES, pairs.scene),
        "device": _pick(DEVICES, pairs.device),
        "price": pl.Series(items.price[pairs.item], dtype=pl.Float64),
        "age_band": _pick(AGE_BANDS, users.age[pairs.user]),
        "segment": _pick(SEGMENTS, users.segment[pairs.user]),
    }


def _impressions(block: Block, shown: Impressions, market: Market) -> pl.DataFrame:
    count = len(shown.position)
    who = describe(shown.pairs, market)
    when = {"exposed_at": block.instants(shown.exposed_ms), "position": shown.position.astype(np.int32)}
    keys = {"impression_id": block.impression_ids(np.arange(count)), "user_id": who.pop("user_id"), "item_id": who.pop("item_id")}
    return pl.DataFrame({**keys, **when, **who, "arrives": np.full(count, block.day)})


def _follow_ups(block: Block, pairs: Pairs, rows: Ints, ms: Ints, names: tuple[str, str, str], market: Market) -> pl.DataFrame:
    """Clicks or actions: the impression they name is sometimes missing, and a few are sent again a day later."""
    key, at, prefix = names
    linked = pl.lit(pl.Series(block.rng.random(len(rows)) >= _UNLINKED_CLICKS, dtype=pl.Boolean))
    events = pl.DataFrame(
        {
            key: block.ids(prefix, len(rows)),
            "impression_id": block.impression_ids(rows),
            "user_id": _names("u", market.users.number[pairs.user]),
            "item_id": _names("item", market.items.number[pairs.item]),
            at: block.instants(ms[rows]),
            "arrives": block.arrivals(ms[rows], _LATE_CLICKS),
        }
    ).with_columns(impression_id=pl.when(linked).then("impression_id"))
    again = events.filter(pl.Series(block.rng.random(len(rows)) < _RESENT, dtype=pl.Boolean))
    return pl.concat([events, again.with_columns(pl.col("arrives") + 1)])


def _purchases(block: Block, pairs: Pairs, rows: Ints, ms: Ints, market: Market) -> pl.DataFrame:
    """Orders of converted clicks, and some of items that the buyer was never shown."""
    num_organic = round(_ORGANIC * len(rows))
    buyer = np.concatenate([pairs.user[rows], block.rng.choice(pairs.user, num_organic)])
    item = np.concatenate([pairs.item[rows], block.rng.integers(0, len(market.items.number), num_organic)])
    at = np.concatenate([ms[rows], block.rng.integers(0, DAY_MS, num_organic)])
    pieces = 1 + (block.rng.random(len(at)) < 0.1)
    return pl.DataFrame(
        {
            "order_id": block.ids("o", len(at)),
            "user_id": _names("u", market.users.number[buyer]),
            "item_id": _names("item", market.items.number[item]),
            "purchased_at": block.instants(at),
            "amount": np.round(market.items.price[item] * pieces, 2),
            "arrives": block.arrivals(at, _LATE_PURCHASES),
        }
    )


def _names(prefix: str, numbers: Ints) -> pl.Series:
    return pl.select(pl.format("{}{}", pl.lit(prefix), pl.lit(pl.Series(numbers)))).to_series()


def _pick(names: list[str] | tuple[str, ...], which: Ints) -> pl.Series:
    return pl.Series(names)[which]
