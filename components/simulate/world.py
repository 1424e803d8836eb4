"""Simulates the landing zone of an invented shop, day by day: `<out>/<kind>/day=YYYY-MM-DD/part-*` and `<out>/profile.toml`.

Day N depends on the seed and on the days before it only: a longer run begins with the same bytes.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.profile import EVENT_TIME, KINDS, Kind
from components.simulate import traffic
from components.simulate.events import Day, draw_outcomes, log_events
from components.simulate.files import write_day
from components.simulate.population import Floats, Items, Shop, Users, draw_items, draw_shop, draw_users, join

CTR = 0.05
CVR = 0.10
_SETTLING = 20_000  # impressions on which the base rates are set
_NEW_USERS = 0.02
_NEW_ITEMS = 0.01


class World:
    """The shop and everybody in it; grows a little every day."""

    def __init__(self, seed: int, impressions_per_day: int) -> None:
        """Draw the first day's users and items: a user sees 10 impressions a day on average, an item has 20."""
        self.rng = np.random.default_rng([seed, 0])
        self.num_users = max(impressions_per_day // 10, 50)
        self.num_items = max(impressions_per_day // 20, 100)
        self.shop: Shop = draw_shop(self.rng)
        self.users: Users = draw_users(self.rng, self.num_users)
        self.items: Items = draw_items(self.rng, self.num_items, self.shop)
        self.base = self._settle()

    @property
    def liking(self) -> Floats:
        """Each user's cumulative distribution over categories."""
        return traffic.like_categories(self.users, self.shop.taste)

    def grow(self) -> None:
        """Let a day's new users and items in."""
        self.users = join(self.users, draw_users(self.rng, max(round(self.num_users * _NEW_USERS), 1)))
        self.items = join(self.items, draw_items(self.rng, max(round(self.num_items * _NEW_ITEMS), 1), self.shop))

    def _settle(self) -> traffic.Base:
        """Find the logits' constants that give the wanted CTR and CVR."""
        shown = traffic.draw_impressions(self.rng, _SETTLING, self.users, self.items, self.liking)
        logit, wish = traffic.click_logit(shown, self.users, self.items), traffic.purchase_logit(shown, self.users, self.items)
        click = _solve(lambda base: float(traffic.click_probability(shown, logit, base).mean()), CTR)
        clicked = traffic.click_probability(shown, logit, click)
        return traffic.Base(click, _solve(lambda base: float(np.average(_buy(wish, base), weights=clicked)), CVR))


def simulate(out: Path, *, start: date, days: int, impressions_per_day: int, seed: int) -> dict[str, Any]:
    """Write the logs that arrive on `days` days from `start`, and their profile; return what was written.

    Days already in `out` are replaced, one by one. Events that would arrive after the last day are not written. Returns {"days": [{"day",
    "<kind>": {"rows", "exact_duplicates", "conflicting_duplicates", "broken"}}]}. Raises ValueError on a size that makes no world.
    """
    if days < 1 or impressions_per_day < 1 or seed < 0:
        raise ValueError(
            f"simulate: days {days} and impressions {impressions_per_day} a day must be positive, and seed {seed} not negative"
        )
    out.mkdir(parents=True, exist_ok=True)
    with resources.as_file(resources.files(__package__) / "profile.toml") as profile:
        shutil.copyfile(profile, out / "profile.toml")
    world = World(seed, impressions_per_day)
    waiting: dict[Kind, pl.DataFrame] = {}
    written = []
    for number in range(days):
        day = Day(number, start + timedelta(days=number), np.random.default_rng([seed, 1 + number]))
        events = _happen(world, day, impressions_per_day)
        waiting = {kind: pl.concat([waiting[kind], events[kind]]) if waiting else events[kind] for kind in KINDS}
        delivered = {str(kind): _deliver(out, kind, day, waiting[kind]) for kind in KINDS}
        written.append({"day": str(day.on), **delivered})
        waiting = {kind: log.filter(pl.col("arrives") > number) for kind, log in waiting.items()}
        world.grow()
    return {"days": written}


def _happen(world: World, day: Day, count: int) -> dict[Kind, pl.DataFrame]:
    shown = traffic.draw_impressions(day.rng, count, world.users, world.items, world.liking)
    truth = draw_outcomes(day, shown, world.users, world.items, world.base)
    return log_events(day, shown, truth, world.items)


def _deliver(out: Path, kind: Kind, day: Day, waiting: pl.DataFrame) -> dict[str, int]:
    arriving = waiting.filter(pl.col("arrives") == day.number).drop("arrives").sort(EVENT_TIME[kind], maintain_order=True)
    return asdict(write_day(out, kind, day.on, arriving, day.rng))


def _buy(wish: Floats, base: float) -> Floats:
    act = traffic.action_probability(wish, base)
    without, after = (traffic.purchase_probability(wish, np.full(len(wish), acted), base) for acted in (False, True))
    mixed: Floats = act * after + (1 - act) * without
    return mixed


def _solve(rate: Callable[[float], float], wanted: float) -> float:
    """Return where the rising function `rate` takes the wanted value, by bisection."""
    low, high = -12.0, 6.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if rate(middle) < wanted else (low, middle)
    return low
