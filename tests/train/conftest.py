"""A shop small enough to train in a blink: ids, a number, and a list that shares the items' table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.settings import Settings

PROFILE = """
name = "tiny"
fields = [
  { name = "user_id", kind = "id", buckets = 200 },
  { name = "item_id", kind = "id", buckets = 400 },
  { name = "clicked_items", kind = "list", table = "item_id", side = "user" },
  { name = "price", kind = "number", buckets = 64 },
]
[impressions]
columns = { impression_id = "impression_id", user_id = "user_id", item_id = "item_id", exposed_at = "exposed_at", position = "position" }
[clicks]
columns = { user_id = "user_id", item_id = "item_id", clicked_at = "clicked_at" }
[actions]
columns = { user_id = "user_id", item_id = "item_id", acted_at = "acted_at" }
[purchases]
columns = { order_id = "order_id", user_id = "user_id", item_id = "item_id", purchased_at = "purchased_at" }
"""


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Return a maker of settings: small towers, and the model's and training's values that it is given."""
    path = tmp_path / "profile.toml"
    path.write_text(PROFILE)

    def make(profile: str = PROFILE, *, model: dict[str, Any] | None = None, **train: Any) -> Settings:
        path.write_text(profile)
        values = {"batch_size": 64, "chunk_rows": 300, "threads": 1, **train}
        chosen = {"hidden": (16, 8), "embedding_width": 6, **(model or {})}
        return Settings(home=tmp_path, data={"profile": str(path)}, model=chosen, train=values)

    return make


@pytest.fixture(scope="session")
def make_samples() -> Callable[..., pl.DataFrame]:
    """Return a maker of samples whose clicks follow the item, whose conversions and dwell times the price; where not clicked, none."""

    def make(rows: int, *, seed: int = 1) -> pl.DataFrame:
        generator = np.random.default_rng(seed)
        items, prices = generator.integers(0, 60, rows), generator.integers(1, 9, rows)
        clicked = generator.random(rows) < np.where(items % 2, 0.7, 0.1)
        converted = clicked & (generator.random(rows) < np.where(prices > 4, 0.1, 0.7))
        history = [[f"item{item}" for item in generator.integers(0, 60, length)] for length in generator.integers(0, 4, rows)]
        return pl.DataFrame(
            {
                "impression_id": [f"i{row}" for row in range(rows)],
                "user_id": [f"user{user}" for user in generator.integers(0, 30, rows)],
                "item_id": [f"item{item}" for item in items],
                "clicked_items": pl.Series(history, dtype=pl.List(pl.String)),
                "price": prices,
                "position": pl.Series(np.arange(rows) % 12 + 1, dtype=pl.Int32),
                "dwell_s": pl.Series(np.where(clicked, prices / 2.0, np.nan)),
                "clicked": clicked,
                "acted": clicked & (items % 3 == 0),
                "converted": converted,
                "known_share": np.where(converted, 1.0, 0.9),
            }
        )

    return make
