"""The truth of a simulated log, written beside it and never inside it. For experiments, which join it by impression_id.

`<truth>/day=D/part-N.parquet`: one row per impression of D. `<truth>/pairs/day=D/part-0.parquet`: any users with any items, never shown.
"""

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.simulate import behaviour
from components.simulate.behaviour import Base, Chances
from components.simulate.events import DAY_MS, Block, Outcomes, describe
from components.simulate.policy import Impressions, draw_pairs
from components.simulate.population import Booleans, Floats, Ints, Market
from components.simulate.worlds import World

PAIRS = 20_000
"""Uniform pairs a day, at most."""


class Truth:
    """The folder of a world's truth. Days of another world that lie there are removed, since their ids would join."""

    def __init__(self, folder: Path, world: dict[str, Any]) -> None:
        """Take the folder; `world` is what it was made from, kept as world.json."""
        said, text = folder / "world.json", json.dumps(world, indent=1, sort_keys=True) + "\n"
        if said.exists() and said.read_text(encoding="utf-8") != text:
            for old in [*folder.glob("day=*"), folder / "pairs"]:
                shutil.rmtree(old, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        said.write_text(text, encoding="utf-8")
        self.folder = folder

    def start(self, day: date, pairs: pl.DataFrame) -> None:
        """Replace the day: its pairs now, its impressions block by block."""
        _empty(self.folder / f"day={day}")
        pairs.write_parquet(_empty(self.folder / "pairs" / f"day={day}") / "part-0.parquet", compression="zstd")

    def append(self, block: Block, rows: pl.DataFrame) -> None:
        """Write a block's impressions."""
        rows.write_parquet(self.folder / f"day={block.on}" / f"part-{block.number}.parquet", compression="zstd")


def tell(block: Block, shown: Impressions, found: Chances, drawn: Outcomes) -> pl.DataFrame:
    """Return the truth of a block's impressions, one row per impression_id; the README explains the columns."""
    examined = behaviour.examination(shown.position)
    rates = _rates(found)
    return pl.DataFrame(
        {
            "impression_id": block.impression_ids(np.arange(len(examined))),
            "pctr": (examined * rates["pctr_examined"]).astype(np.float32),
            **rates,
            "confounder": found.moods[drawn.mood].astype(np.int8),
            "examined": drawn.examined,
            "relevant": drawn.relevant,
            "acts_if_clicked": drawn.acts,
            "converts_if_clicked": drawn.buys,
            "click_delay_s": _seconds(drawn.click_ms),
            "conversion_delay_s": _seconds(drawn.purchase_ms),
            **_labels(drawn),
        }
    )


def tell_pairs(block: Block, market: Market, base: Base, world: World, count: int) -> pl.DataFrame:
    """Return uniformly drawn pairs with what a log would say of them and their true rates, as if each stood at position 1."""
    pairs = draw_pairs(block.rng, count, market)
    rates = _rates(behaviour.chances(*behaviour.utilities(pairs, market, world.correlation), base, world.confounder))
    exposed = block.instants(block.rng.integers(0, DAY_MS, count))
    return pl.DataFrame({"impression_id": block.ids("p", count), "exposed_at": exposed, **describe(pairs, market), **rates})


def _rates(found: Chances) -> dict[str, Floats]:
    """Return probabilities given what can be observed: means over the moods, which after a click are no longer equally likely."""
    relevant, both = found.relevant.mean(axis=0), (found.relevant * found.bought).mean(axis=0)
    rates = {"pctr_examined": relevant, "pcvr": found.bought.mean(axis=0), "pcvr_clicked": both / relevant}
    return {name: rate.astype(np.float32) for name, rate in rates.items()}


def _labels(drawn: Outcomes) -> dict[str, Booleans]:
    return {"clicked": drawn.clicked, "acted": drawn.clicked & drawn.acts, "converted": drawn.clicked & drawn.buys}


def _seconds(ms: Ints) -> Floats:
    return (ms / 1000).astype(np.float32)


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
