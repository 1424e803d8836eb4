"""The rows of the training benchmark: a day of samples in the lake, and the same row numbers as matrices for the peers.

20 id fields whose vocabularies grow geometrically from 10 to the items', every id drawn by Zipf's law; clicks and conversions follow hidden
effects of a few fields' ids, so that there is something to learn. Two lists of 50 items are features of each user. Blocks are drawn from
(seed, block): the same sizes give the same bytes. What `esmm train` asks for before it trains is recorded as done.

Letters: N rows of a block, F fields, L lists.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.inputs import ONE_DAY, assembled, midnight
from components.lake import Lake
from components.model.encoding import Layout, encode
from components.records import Records
from components.settings import Settings, load_settings
from components.tables import SAMPLES, USER_FEATURES

DAY = date(2024, 5, 2)
SEED = 20240502
FIELDS, SMALLEST, ZIPF = 20, 10, 1.2
USER, ITEM = 14, 19
"""Which of the fields are the user and the item: the item's vocabulary is the largest."""
CLICK_FIELDS, CONVERSION_FIELDS = (2, 5, 8, 11, 19), (3, 5, 9, 12)
CLICKED, CONVERTED, EFFECT = 0.04, 0.02, 0.6
"""Shares of the rows and of the clicks; standard deviation of an id's effect on the logit."""
LISTS, LIST_LENGTH = ("user_click_items_30d", "user_conversion_items_30d"), 50
SHAPES = ("fields", "lists")
"""The 20 fields alone, and with the two lists."""
_BLOCK = 131_072
_USER_BLOCK = 8_192
_PROFILE = Template("""name = "bench"
fields = [
  $fields,
]
[impressions]
columns = { impression_id = "impression_id", user_id = "user_id", item_id = "item_id", exposed_at = "exposed_at" }
context = { $context }
[clicks]
columns = { user_id = "user_id", item_id = "item_id", clicked_at = "clicked_at" }
[purchases]
columns = { order_id = "order_id", user_id = "user_id", item_id = "item_id", purchased_at = "purchased_at" }
""")
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Day:
    """One generated day under a folder."""

    folder: Path
    ids: int
    """Of all vocabularies together, about."""
    rows: int
    lists: bool = False
    """Whether users have lists, without which the shape of that name has none to read."""

    @cached_property
    def vocabularies(self) -> tuple[int, ...]:
        """Ids of each field, ascending."""
        low, high = float(SMALLEST), float(self.ids)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if np.geomspace(SMALLEST, middle, FIELDS).sum() > self.ids else (middle, high)
        return tuple(int(size) for size in np.geomspace(SMALLEST, low, FIELDS).round())

    def instant(self, row: int) -> datetime:
        """Return when a row was exposed; of the number of rows, the day's end."""
        return midnight(DAY) + (row * self._step if row < self.rows else ONE_DAY)

    @property
    def _step(self) -> timedelta:
        return ONE_DAY // self.rows

    def settings(self, shape: str) -> Settings:
        """Return the pipeline's settings for the day, whose labels are final; puts them into the environment."""
        final = {"ESMM_MODEL__AGE_CORRECTED": "false"}
        own = {"ESMM_HOME": self.folder, "ESMM_DATA__PROFILE": self.folder / f"{shape}.toml", **final}
        os.environ.update({name: str(value) for name, value in own.items()})
        return load_settings()

    def scan(self, settings: Settings, first: int, last: int) -> pl.LazyFrame:
        """Read the rows [first, last) as a day's training does: from Delta, with the features of the day before."""
        return assembled(DAY, settings, first=self.instant(first), end=self.instant(last))

    def write(self) -> None:
        """Write profiles, tables and records."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for shape in SHAPES:
            (self.folder / f"{shape}.toml").write_text(_profile(self.vocabularies, shape), encoding="utf-8")
        settings = self.settings("fields")
        lake, truth = Lake(settings.lake_uri, settings.profile), _Truth.of(self.vocabularies)
        lake.create()
        if self.lists:
            lake.replace(USER_FEATURES, DAY - ONE_DAY, self._users(settings))
        version = lake.replace(SAMPLES, DAY, (self._block(truth, first, settings) for first in range(0, self.rows, _BLOCK)))
        records, labelled = Records(settings.root), {"table_version": version, "fingerprint": "generated"}
        for step, record in {"label": labelled, "validate": {**labelled, "success": True}, "aggregate": {}}.items():
            records.write(DAY, step, record)

    def _users(self, settings: Settings) -> Iterator[pl.LazyFrame]:
        names = USER_FEATURES.columns(settings.profile)
        users, items = self.vocabularies[USER], self.vocabularies[ITEM]
        for first in range(1, users + 1, _USER_BLOCK):
            count = min(_USER_BLOCK, users + 1 - first)
            generator = np.random.default_rng([SEED, 1, first])
            entries = {name: zipf(generator, items, count * LIST_LENGTH).reshape(count, LIST_LENGTH) for name in LISTS}
            own = {name: pl.Series(ids).cast(pl.Array(pl.String, LIST_LENGTH)).arr.to_list() for name, ids in entries.items()}
            known = pl.LazyFrame({"user_id": _texts(np.arange(first, first + count)), **own})
            yield known.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in names.items() if name not in (*LISTS, "user_id"))

    def _block(self, truth: "_Truth", first: int, settings: Settings) -> pl.LazyFrame:
        numbers = np.arange(first, min(first + _BLOCK, self.rows))
        generator = np.random.default_rng([SEED, 2, first])
        ids_FN = [zipf(generator, ids, len(numbers)) for ids in self.vocabularies]
        clicked_N, converted_N = truth.draw(generator, ids_FN)
        fields = {name: _texts(ids_N) for name, ids_N in zip(_names(), ids_FN, strict=True)}
        exposed_at = pl.lit(midnight(DAY)) + pl.col("row") * pl.lit(self._step)
        ends = pl.lit(midnight(DAY + ONE_DAY))
        known = pl.LazyFrame({"row": numbers, **fields, "clicked": clicked_N, "converted": converted_N}).with_columns(
            exposed_at=exposed_at, impression_id=pl.col("row").cast(pl.String).str.zfill(12), labelled_through=ends, matures_at=ends
        )
        happened = {f"{event}_at": pl.when(event).then("exposed_at") for event in ("clicked", "converted")}
        return known.with_columns(**happened, acted=False, acted_at=None, position=None).select(SAMPLES.columns(settings.profile).keys())


def zipf(generator: np.random.Generator, ids: int, count: int) -> Ints:
    """Draw from 1 to `ids`, P(k) about k ** -ZIPF: a bounded Pareto variable, rounded down, which needs no table of the ids."""
    tail = 1 - (ids + 1.0) ** (1 - ZIPF)
    return ((1 - generator.random(count) * tail) ** (1 / (1 - ZIPF))).astype(np.int64).clip(max=ids)


@dataclass(frozen=True)
class _Truth:
    """What clicks and conversions follow: by event, an offset of the logit and, by field, the effect of each id."""

    offsets: tuple[float, float]
    effects: tuple[dict[int, Floats], dict[int, Floats]]

    @classmethod
    def of(cls, vocabularies: tuple[int, ...]) -> "_Truth":
        """Draw the effects, and choose the offsets for the shares of clicks and of conversions."""
        generator = np.random.default_rng([SEED, 0])
        click, conversion = (
            {field: generator.normal(0, EFFECT, vocabularies[field] + 1) for field in fields}
            for fields in (CLICK_FIELDS, CONVERSION_FIELDS)
        )
        ids_FN = [zipf(generator, ids, _BLOCK) for ids in vocabularies]
        clicks = _offset(_sum(click, ids_FN), np.ones(_BLOCK), CLICKED)
        clicked_N = _expit(_sum(click, ids_FN) + clicks)
        return cls((clicks, _offset(_sum(conversion, ids_FN), clicked_N, CONVERTED)), (click, conversion))

    def draw(self, generator: np.random.Generator, ids_FN: list[Ints]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which rows are clicked, and which of those convert."""
        drawn = (
            generator.random(len(ids_FN[0])) < _expit(_sum(own, ids_FN) + offset)
            for own, offset in zip(self.effects, self.offsets, strict=True)
        )
        clicked_N, converts_N = drawn
        return clicked_N, clicked_N & converts_N


def _sum(effects: dict[int, Floats], ids_FN: list[Ints]) -> Floats:
    return np.sum([own[ids_FN[field]] for field, own in effects.items()], axis=0)


def _offset(logits_N: Floats, weights_N: Floats, share: float) -> float:
    """Return what to add to the logits for a weighted mean probability of `share`."""
    low, high = -30.0, 30.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if np.average(_expit(logits_N + middle), weights=weights_N) > share else (middle, high)
    return low


def _expit(logits_N: Floats) -> Floats:
    return 1 / (1 + np.exp(-logits_N))


def _texts(ids: Ints) -> pl.Series:
    return pl.Series(ids).cast(pl.String)


def _names() -> list[str]:
    return [{USER: "user_id", ITEM: "item_id"}.get(place, f"field_{place:02}") for place in range(FIELDS)]


def _profile(vocabularies: tuple[int, ...], shape: str) -> str:
    """Return a profile; a table has a row more than its vocabulary has ids, for the missing one."""
    fields = [f'{{ name = "{name}", kind = "id", buckets = {ids + 1} }}' for name, ids in zip(_names(), vocabularies, strict=True)]
    if shape == "lists":
        fields += [f'{{ name = "{name}", kind = "list", table = "item_id", side = "user" }}' for name in LISTS]
    context = ", ".join(f'{name} = "string"' for name in _names() if name not in ("user_id", "item_id"))
    return _PROFILE.substitute(fields=",\n  ".join(fields), context=context)


def write_matrices(path: Path, parts: dict[str, pl.LazyFrame], settings: Settings) -> None:
    """Write the row numbers that our network reads, each field's from 0 in its own table, and which table that is.

    path: an npz of `<part>/<field>`, int32 [N] or, of a list, [N, 50]; `<part>/labels`, float32 [N, 2], clicked and converted. Beside it
    a .json of the fields, with the table each reads and the rows of it.
    """
    layout = Layout.of(settings.profile)
    matrices: dict[str, NDArray[Any]] = {}
    for part, rows in parts.items():
        frame = rows.select("clicked", "converted", *layout.columns).collect(engine="streaming")
        samples = encode(frame, layout)
        matrices[f"{part}/labels"] = frame.select(pl.col("clicked", "converted").cast(pl.Float32)).to_numpy()
        entries_NLT = samples.values_E.reshape(len(samples), len(LISTS), -1)  # all lists are of one length
        for place, field in enumerate(layout.ordered):
            single = place < len(layout.singles)
            ids = samples.ids_NS[:, place] if single else entries_NLT[:, place - len(layout.singles)]
            matrices[f"{part}/{field.name}"] = (ids - layout.offsets[field.vocabulary]).astype(np.int32)
    np.savez(path, **matrices)
    fields = [{"name": one.name, "table": one.vocabulary, "rows": layout.vocabularies[one.vocabulary]} for one in layout.ordered]
    path.with_suffix(".json").write_text(json.dumps(fields), encoding="utf-8")
