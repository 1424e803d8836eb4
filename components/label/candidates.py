"""The one pass over a day's impressions: how many each minute has, and which of them a click may be credited to.

What clicks name is kept as bits, so that memory does not grow with the impressions; rows let through in error are credited with nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import polars as pl

from components.errors import DataError
from components.label.attribution import PAIR
from components.label.events import Labelling, Log, drop_repeats
from components.tables import INSTANT, Schema

ROW = "row"
NARROW = ("impression_id", *PAIR, "exposed_at")
_BATCH = 500_000
_BITS_PER_KEY = 64
_MOST_BITS = 1 << 27
_MINUTES = pl.DataFrame(schema={"minute": INSTANT, "num_punctual": pl.Int64, "num_late": pl.Int64})


@dataclass
class Shelf:
    """Rows set aside: in memory up to `held` of them, in Parquet files beyond."""

    folder: Path
    held: int
    frames: list[pl.DataFrame] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    num_rows: int = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Set rows aside."""
        self.frames.append(rows)
        self.num_rows += rows.height
        if sum(frame.height for frame in self.frames) > self.held:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.files.append(self.folder / f"{len(self.files):05}.parquet")
            pl.concat(self.frames).write_parquet(self.files[-1])
            self.frames.clear()

    def scan(self) -> pl.LazyFrame:
        """Return all rows."""
        return pl.concat([*map(pl.scan_parquet, self.files), *(frame.lazy() for frame in self.frames)])


@dataclass(frozen=True)
class Sieve:
    """Lets through every impression that has one of the names, or the user and item of one of the pairs, and about 1 in 60 others."""

    names: pl.Series
    pairs: pl.Series

    @classmethod
    def of(cls, names: pl.LazyFrame, pairs: pl.LazyFrame) -> "Sieve":
        """Remember each impression_id of `names`, and each user and item of `pairs`."""
        return cls(_bits(names.drop_nulls("impression_id").select(hash_name())), _bits(pairs.drop_nulls(PAIR).select(hash_pair())))

    def sift(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a batch of `read_batches` that are let through, without their places."""
        through = self.names.gather(batch["name_bit"]) | self.pairs.gather(batch["pair_bit"])
        few = batch.filter(through).drop("name_bit", "pair_bit")
        return few.with_columns(pl.col(pl.String) + "")  # copied: a few texts as views would keep the whole batch's in memory

    def read_batches(self, impressions: pl.LazyFrame) -> Iterator[pl.DataFrame]:
        """Read impressions in order, with the places of each in the bits."""
        places = {"name_bit": hash_name() & (len(self.names) - 1), "pair_bit": hash_pair() & (len(self.pairs) - 1)}
        placed = impressions.with_columns(place.cast(pl.UInt32).alias(name) for name, place in places.items())
        return placed.collect_batches(chunk_size=_BATCH, maintain_order=True, engine="streaming")

    def read_through(self, impressions: pl.LazyFrame) -> pl.DataFrame:
        """Return the impressions that are let through."""
        return pl.concat([impressions.limit(0).collect(), *map(self.sift, self.read_batches(impressions))])


def hash_name() -> pl.Expr:
    """Hash the impression_id. Of use within one process only."""
    return pl.col("impression_id").hash(0)


def hash_pair() -> pl.Expr:
    """Hash user and item. Of use within one process only."""
    return pl.col("user_id").hash(0) ^ pl.col("item_id").hash(1)


def _bits(hashes: pl.LazyFrame) -> pl.Series:
    found = hashes.collect(engine="streaming").to_series()
    size = min(1 << max(_BITS_PER_KEY * len(found), 1 << 10).bit_length(), _MOST_BITS)
    return pl.repeat(False, size, eager=True).scatter((found & (size - 1)).cast(pl.UInt32), True)


@dataclass(frozen=True)
class Survey:
    """What the pass found."""

    minutes: pl.DataFrame
    """minute, num_punctual, num_late: the day's impressions that arrived on the day, and later, by the minute of `exposed_at`."""
    first_row: int
    """Rows before the day's first among those that arrived on the day."""
    late: pl.DataFrame
    """impression_id, arrived_on of the day's impressions that arrived later and repeat none that came before."""

    def equals(self, other: "Survey") -> bool:
        """Whether the other pass saw the same numbers of rows, and the same late ones in whatever order."""
        late, others = (found.late.sort("impression_id") for found in (self, other))
        return self.first_row == other.first_row and self.minutes.equals(other.minutes) and late.equals(others)


def survey(impressions: Log, sieve: Sieve, labelling: Labelling, candidates: Shelf) -> Survey:
    """Read the day's impressions once; set those aside that clicks may be credited to: NARROW and `row`, null for one that arrived late.

    impressions: those that arrived on the day in the order of exposed_at.
    Late rows are held while the repeats among them are found. Raises DataError where the rows stand in another order.
    """
    first_row, minutes = 0, [_MINUTES]
    for offset, batch in _read_in_order(impressions, sieve, labelling.day):
        before, ended = (int(batch["exposed_at"].search_sorted(instant)) for instant in (labelling.start, labelling.end))
        first_row += before
        rows = batch.slice(before, ended - before)
        minutes.append(_count_minutes(rows, "num_punctual"))
        candidates.add(sieve.sift(rows.with_row_index(ROW, offset + before)).select(*NARROW, ROW))
    late = _find_late(labelling.see(impressions, "impressions"), labelling)
    candidates.add(sieve.read_through(late.lazy()).select(*NARROW, pl.lit(None, pl.get_index_type()).alias(ROW)))
    minutes.append(_count_minutes(late, "num_late"))
    counts = pl.concat(minutes, how="diagonal").group_by("minute").agg(pl.col("num_punctual", "num_late").sum()).sort("minute")
    return Survey(counts, first_row, late.select("impression_id", "arrived_on"))


def _read_in_order(impressions: Log, sieve: Sieve, day: date) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield batches of the impressions that arrived on the day, ready to be sifted, each with the number of rows before it."""
    if day not in impressions:
        return
    offset, last = 0, None
    for batch in sieve.read_batches(impressions[day].select(NARROW)):
        at = batch["exposed_at"]
        if not at.is_sorted() or (last is not None and batch.height and at[0] < last):
            raise DataError(f"impressions that arrived on {day}: expected them in the order of exposed_at, found others; rerun ingest")
        yield offset, batch
        offset, last = offset + batch.height, at[-1] if batch.height else last


def _find_late(impressions: Log, labelling: Labelling) -> pl.DataFrame:
    """Return the day's impressions that arrived later and repeat none that came before: NARROW, arrived_on."""
    later = (rows.filter(labelling.on_day).select(*NARROW, "arrived_on") for day, rows in impressions.items() if day > labelling.day)
    found = [rows.collect(engine="streaming") for rows in later]
    schema: Schema = {**dict.fromkeys(NARROW, pl.String), "exposed_at": INSTANT, "arrived_on": pl.Date}
    return drop_repeats(pl.concat([pl.DataFrame(schema=schema), *found]), impressions, "impressions")


def _count_minutes(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Count runs of one minute: one row a minute where the rows are in time order, more elsewhere."""
    runs = rows["exposed_at"].dt.truncate("1m").rle().struct.unnest()
    return runs.select(pl.col("value").alias("minute"), pl.col("len").cast(pl.Int64).alias(name))
