"""The one place that gives samples their features; train, evaluate and validate all read through it.

Relative to a sample's day D, the features are those of D-1: what the online store holds while D is served.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl
from polars.io.plugins import register_io_source

from components.aggregate.lookup import Lookup
from components.tables import ITEM_FEATURES, USER_CATEGORY_FEATURES, USER_FEATURES, Schema, Table

_WINDOW_ROWS = 131_072
"""Samples read at once: as many as a row group of the lake has."""
_PIECE_ROWS = 8_192
"""Samples given features at once. Small: of a slow reader Polars is some chunks and six pieces ahead."""


def assemble(samples: pl.LazyFrame, features: Mapping[Table, pl.LazyFrame], *, category: str = "") -> pl.LazyFrame:
    """Add to each sample the features, as of the end of the day before, of its user, its item and its user with its category.

    samples: one row per impression, of one or more days, with `day`. A scan: what is not is computed again for each window.
    features: by table of features, one row per key and day, with `day`.
    category: the samples' column that holds the item's category; empty where there is none, and with it the pair's features.
    Returns every sample once, in the order given, with all feature columns but event_timestamp; null where the key has none, or is null.
    Reading holds a window of samples, some pieces with their features, and all keys and the asked columns of the features of the window's
    days: memory grows with the users and items, not with the samples.
    Raises polars.exceptions.ComputeError on collect if a key has two rows of one day in a table of which a column is asked.
    """
    keys: dict[Table, tuple[str, ...]] = {USER_FEATURES: ("user_id",), ITEM_FEATURES: ("item_id",)}
    if category:
        keys[USER_CATEGORY_FEATURES] = ("user_id", category)
    joins = [_Join.of(table, features[table], key) for table, key in keys.items()]
    own = samples.collect_schema()
    schema = {**own, **{name: dtype for join in joins for name, dtype in join.adds.items()}}

    def read(columns: list[str] | None, predicate: pl.Expr | None, num_rows: int | None, _: int | None) -> Iterator[pl.DataFrame]:
        asked = list(schema) if columns is None else columns
        wanted = [join for join in joins if not join.adds.keys().isdisjoint(asked)]
        needed = {*asked, *(name for join in wanted for name in ("day", *join.key))}
        conditions = [] if predicate is None else [predicate]
        early = [condition for condition in conditions if own.keys() >= set(condition.meta.root_names())]
        late = conditions[len(early) :]
        windows = (window.filter(*early).select(name for name in own if name in needed) for window in _windows(samples, num_rows))
        for piece in _joined(windows, wanted, asked):
            yield piece.select(asked).filter(*late)

    return register_io_source(read, schema=schema, explain_name="assembled samples")


@dataclass(frozen=True)
class _Join:
    """A table of features, and the samples' columns that are its key."""

    table: Table
    features: pl.LazyFrame
    key: tuple[str, ...]
    adds: Schema

    @classmethod
    def of(cls, table: Table, features: pl.LazyFrame, key: tuple[str, ...]) -> "_Join":
        known = {*table.key, "day", "event_timestamp"}
        return cls(table, features, key, {name: dtype for name, dtype in features.collect_schema().items() if name not in known})

    def load(self, days: Sequence[date], asked: list[str]) -> "_Features":
        """Read what is asked of the features, for samples of some days."""
        key, eves = [*self.table.key, "day"], [day - timedelta(days=1) for day in days]
        columns = [name for name in self.adds if name in asked]
        rows = self.features.filter(pl.col("day").is_in(eves)).select(*key, *columns).collect(engine="streaming").rechunk()
        try:
            return _Features(self, Lookup.of(rows.select(key)), rows.select(columns))
        except ValueError as error:
            raise pl.exceptions.ComputeError(f"{self.table.name}: {error}; run `esmm aggregate` of that day again") from None


@dataclass(frozen=True)
class _Features:
    """Features in memory, found by key."""

    join: _Join
    lookup: Lookup
    columns: pl.DataFrame

    def of(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Return the features of samples, row by row."""
        key = [pl.col(name).cast(pl.String).alias(of) for name, of in zip(self.join.key, self.join.table.key, strict=True)]
        rows = self.lookup.find(samples.select(*key, pl.col("day").dt.offset_by("-1d")))
        return self.columns.select(pl.all().gather(rows))


def _windows(samples: pl.LazyFrame, num_rows: int | None) -> Iterator[pl.LazyFrame]:
    """Cut the first `num_rows` samples (None: all) into windows."""
    found = samples.select(pl.len()).collect(engine="streaming").item()
    end = found if num_rows is None else min(num_rows, found)
    for first in range(0, end, _WINDOW_ROWS):
        yield samples.slice(first, min(_WINDOW_ROWS, end - first))


def _joined(windows: Iterable[pl.LazyFrame], joins: Sequence[_Join], asked: list[str]) -> Iterator[pl.DataFrame]:
    """Yield the samples in pieces, beside their features, which are read where a window has other days than the one before."""
    days: list[date] | None = None
    features: list[_Features] = []
    for window in windows:
        rows = window.collect(engine="streaming")
        found = rows["day"].drop_nulls().unique().sort().to_list() if joins else []
        if rows.height and found != days:
            features.clear()  # first: two days' may not fit
            features.extend(join.load(found, asked) for join in joins)
            days = found
        for piece in rows.iter_slices(_PIECE_ROWS):
            yield pl.concat([piece, *(known.of(piece) for known in features)], how="horizontal")
