"""What a day's impressions lead to, as canonical event frames with their arrival day; the probabilities stay here.

A frame's `arrives` is the number of the day, counted from the first, in whose partition the row is delivered.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

from components.profile import Kind
from components.simulate import traffic
from components.simulate.population import DEVICES, Floats, Ints, Items, Users

_DAY_MS = 86_400_000
_LATE_CLICKS = 0.015
_LATE_PURCHASES = 0.03
_UNLINKED_CLICKS = 0.05
_RESENT = 0.001
_ORGANIC = 0.05


@dataclass(frozen=True)
class Day:
    """A day's number, date and generator."""

    number: int
    on: date
    rng: np.random.Generator

    def instants(self, ms: Ints) -> pl.Series:
        """Return UTC instants from milliseconds since the day began."""
        start = datetime.combine(self.on, time(), UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return pl.Series(ms * 1000 + start // timedelta(microseconds=1)).cast(pl.Datetime("us", "UTC"))

    def ids(self, prefix: str, numbers: Ints) -> pl.Series:
        """Return ids that name the day and the row, unique over all days."""
        return pl.select(pl.format("{}-{}-{}", pl.lit(prefix), pl.lit(f"{self.on:%Y%m%d}"), pl.lit(pl.Series(numbers)))).to_series()

    def arrivals(self, ms: Ints, late: float) -> Ints:
        """Return arrival days: the event's own, or, for the share `late`, one or two days after."""
        lag = np.where(self.rng.random(len(ms)) < late, self.rng.integers(1, 3, len(ms)), 0)
        return self.number + ms // _DAY_MS + lag


@dataclass(frozen=True)
class Truth:
    """The outcome of each impression and the probabilities it was drawn from."""

    pctr: Floats
    pcvr: Floats
    """P(purchase | click), before it is known whether an action follows the click."""
    clicked: Ints
    """Row numbers of the clicked impressions."""
    acted: Ints
    converted: Ints


def draw_outcomes(day: Day, shown: traffic.Impressions, users: Users, items: Items, base: traffic.Base) -> Truth:
    """Draw clicks, then actions of the clicked, then purchases of the clicked."""
    click = traffic.click_probability(shown, traffic.click_logit(shown, users, items), base.click)
    logit = traffic.purchase_logit(shown, users, items)
    act = traffic.action_probability(logit, base.purchase)
    without, after = (traffic.purchase_probability(logit, np.full(len(logit), acted), base.purchase) for acted in (False, True))
    draws = day.rng.random((3, len(click)))
    clicked = draws[0] < click
    acted = clicked & (draws[1] < act)
    converted = clicked & (draws[2] < np.where(acted, after, without))
    rows = (np.flatnonzero(mask) for mask in (clicked, acted, converted))
    return Truth(click, act * after + (1 - act) * without, *rows)


def log_events(day: Day, shown: traffic.Impressions, truth: Truth, items: Items) -> dict[Kind, pl.DataFrame]:
    """Return the events of a day's impressions, whenever they happen and arrive."""
    count = len(shown.user)
    delay = 1200 + day.rng.exponential(14_000, count).astype(np.int64)
    reopened = day.rng.random(count) < 0.02
    clicked_ms = shown.exposed_ms + np.where(reopened, day.rng.integers(600_000, 7_200_000, count), delay)
    acted_ms = clicked_ms + 3000 + day.rng.exponential(90_000, count).astype(np.int64)
    acted = np.zeros(count, dtype=np.bool_)
    acted[truth.acted] = True
    bought_ms = np.where(acted, acted_ms, clicked_ms) + traffic.purchase_delay_ms(day.rng, count)
    return {
        "impressions": _impressions(day, shown, items),
        "clicks": _follow_ups(day, shown, truth.clicked, clicked_ms, ("click_id", "clicked_at", "c")),
        "actions": _follow_ups(day, shown, truth.acted, acted_ms, ("action_id", "acted_at", "a")),
        "purchases": _purchases(day, shown, truth.converted, bought_ms, items),
    }


def _impressions(day: Day, shown: traffic.Impressions, items: Items) -> pl.DataFrame:
    count = len(shown.user)
    return pl.DataFrame(
        {
            "impression_id": day.ids("i", np.arange(count)),
            "user_id": _names("u", shown.user),
            "item_id": _names("item", shown.item),
            "exposed_at": day.instants(shown.exposed_ms),
            "position": shown.position.astype(np.int32),
            "cat_id": _names("cat", items.category[shown.item]),
            "shop_id": _names("shop", items.shop[shown.item]),
            "brand_id": _names("brand", items.brand[shown.item]),
            "scene": pl.Series(np.array(traffic.SCENES)[shown.scene].tolist()),
            "device": pl.Series(np.array(DEVICES)[shown.device].tolist()),
            "price": items.price[shown.item],
            "arrives": np.full(count, day.number),
        }
    )


def _follow_ups(day: Day, shown: traffic.Impressions, rows: Ints, ms: Ints, names: tuple[str, str, str]) -> pl.DataFrame:
    """Clicks or actions: the impression they name is sometimes missing, and a few are sent again a day later."""
    key, at, prefix = names
    linked = pl.lit(pl.Series(day.rng.random(len(rows)) >= _UNLINKED_CLICKS, dtype=pl.Boolean))
    events = pl.DataFrame(
        {
            key: day.ids(prefix, np.arange(len(rows))),
            "impression_id": day.ids("i", rows),
            "user_id": _names("u", shown.user[rows]),
            "item_id": _names("item", shown.item[rows]),
            at: day.instants(ms[rows]),
            "arrives": day.arrivals(ms[rows], _LATE_CLICKS),
        }
    ).with_columns(impression_id=pl.when(linked).then("impression_id"))
    again = events.filter(pl.Series(day.rng.random(len(rows)) < _RESENT, dtype=pl.Boolean))
    return pl.concat([events, again.with_columns(pl.col("arrives") + 1)])


def _purchases(day: Day, shown: traffic.Impressions, rows: Ints, ms: Ints, items: Items) -> pl.DataFrame:
    """Orders of converted clicks, and some of items that the buyer was never shown."""
    num_organic = round(_ORGANIC * len(rows))
    buyer = np.concatenate([shown.user[rows], day.rng.choice(shown.user, num_organic)])
    item = np.concatenate([shown.item[rows], day.rng.integers(0, len(items.price), num_organic)])
    at = np.concatenate([ms[rows], day.rng.integers(0, _DAY_MS, num_organic)])
    pieces = 1 + (day.rng.random(len(at)) < 0.1)
    return pl.DataFrame(
        {
            "order_id": day.ids("o", np.arange(len(at))),
            "user_id": _names("u", buyer),
            "item_id": _names("item", item),
            "purchased_at": day.instants(at),
            "amount": np.round(items.price[item] * pieces, 2),
            "arrives": day.arrivals(at, _LATE_PURCHASES),
        }
    )


def _names(prefix: str, numbers: Ints) -> pl.Series:
    return pl.select(pl.format("{}{}", pl.lit(prefix), pl.lit(pl.Series(numbers)))).to_series()
