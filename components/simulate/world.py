"""Simulates the landing zone of an invented shop, day by day: `<out>/<kind>/day=YYYY-MM-DD/part-*` and `<out>/profile.toml`.

Day N depends on the seed and on the days before it only: a longer run begins with the same bytes. A day is made in blocks of consecutive
time, so memory is one block's, the users' and items', and that of the events still under way.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.profile import EVENT_TIME, KINDS, Kind
from components.simulate import behaviour, policy
from components.simulate.behaviour import Base
from components.simulate.events import DAY_MS, Block, draw_outcomes, log_events
from components.simulate.files import DayLog
from components.simulate.population import Market
from components.simulate.truth import PAIRS, Truth, tell, tell_pairs
from components.simulate.worlds import World, find_world

_BLOCK = 100_000  # impressions; part of what a seed means, as each block has its own generator
_SETTLING = 40_000  # impressions on which the base rates are set
_MARKET, _BLOCKS, _PAIRS = range(3)  # what a generator draws
Waiting = dict[Kind, list[pl.DataFrame]]
"""Events that have happened and are not in a log yet, by kind."""


class Life:
    """A world under way: its market, which changes every day, and the rates on which it was settled."""

    def __init__(self, world: World, seed: int, impressions_per_day: int) -> None:
        """Open the market and settle the rates."""
        self.world, self.seed, self.count, self.day = world, seed, impressions_per_day, 0
        self.market = Market.open(_generator(seed, _MARKET, 0), impressions_per_day)
        self.base = self._settle()

    def blocks(self, on: date) -> Iterator[tuple[Block, policy.Impressions]]:
        """Yield the parts of today with what is shown in each."""
        num_blocks = -(-self.count // _BLOCK)
        for number in range(num_blocks):
            first, end = (self.count * edge // num_blocks for edge in (number, number + 1))
            between = (number / num_blocks, (number + 1) / num_blocks)
            rng = _generator(self.seed, _BLOCKS, self.day, number)
            block = Block(self.day, on, number, first, int(policy.clock_ms(between[1])), rng)
            yield block, policy.draw_impressions(rng, end - first, self.market, correlation=self.world.correlation, between=between)

    def draw_pairs(self, on: date) -> pl.DataFrame:
        """Return today's uniform pairs."""
        block = Block(self.day, on, 0, 0, DAY_MS, _generator(self.seed, _PAIRS, self.day))
        return tell_pairs(block, self.market, self.base, self.world, min(self.count, PAIRS))

    def sleep(self) -> None:
        """Go on to the next day."""
        self.day += 1
        self.market = self.market.next_day(_generator(self.seed, _MARKET, self.day))

    def _settle(self) -> Base:
        rng = _generator(self.seed, _MARKET, 0, 1)
        shown = policy.draw_impressions(rng, _SETTLING, self.market, correlation=self.world.correlation, between=(0.0, 1.0))
        return behaviour.settle(shown.click, shown.purchase, shown.position, self.world)


def simulate(
    out: Path, *, start: date, days: int, impressions_per_day: int, seed: int, world: str = "dense", truth: Path | None = None
) -> dict[str, Any]:
    """Write the logs that arrive on `days` days from `start`, and their profile; return what was written.

    world: a name of `worlds.py`; `dense` has conversions enough for small logs.  truth: its folder, `<out>/../truth` when not given.
    Days already in `out` are replaced, one by one. Events that would arrive after the last day are not written. Returns {"days": [{"day",
    "<kind>": {"rows", "exact_duplicates", "conflicting_duplicates", "broken"}}]}. Raises ValueError on a size that makes no world.
    """
    if days < 1 or impressions_per_day < 1 or seed < 0:
        raise ValueError(
            f"simulate: days {days} and impressions {impressions_per_day} a day must be positive, and seed {seed} not negative"
        )
    life = Life(find_world(world), seed, impressions_per_day)
    out.mkdir(parents=True, exist_ok=True)
    with resources.as_file(resources.files(__package__) / "profile.toml") as profile:
        shutil.copyfile(profile, out / "profile.toml")
    told = {"world": world, "seed": seed, "impressions_per_day": impressions_per_day, "start": str(start)}
    known = Truth(truth or out.parent / "truth", told)
    waiting: Waiting = {}
    written = []
    for number in range(days):
        on = start + timedelta(days=number)
        written.append({"day": str(on), **_live(life, on, out, known, waiting)})
        life.sleep()
    return {"days": written}


def _live(life: Life, on: date, out: Path, truth: Truth, waiting: Waiting) -> dict[str, Any]:
    """Write a day, block by block; return the counts. What arrives later stays in `waiting`."""
    truth.start(on, life.draw_pairs(on))
    with ExitStack() as stack:
        logs = {kind: stack.enter_context(DayLog(out, kind, on)) for kind in KINDS}
        for block, shown in life.blocks(on):
            found = behaviour.chances(shown.click, shown.purchase, life.base, life.world.confounder)
            drawn = draw_outcomes(block.rng, shown, found)
            truth.append(block, tell(block, shown, found, drawn))
            for kind, happened in log_events(block, shown, drawn, life.market).items():
                events, due = pl.concat([*waiting.get(kind, ()), happened]), block.due(EVENT_TIME[kind])
                logs[kind].append(events.filter(due).drop("arrives"), block.rng)
                waiting[kind] = [events.filter(~due)]
    return {str(kind): asdict(log.written) for kind, log in logs.items()}


def _generator(seed: int, *purpose: int) -> np.random.Generator:
    """Return a generator of its own for each purpose; shorter purposes are filled up, since trailing zeros make no other seed."""
    return np.random.default_rng([seed, *purpose, *[0] * (3 - len(purpose))])
