"""What attribution found out about a day, or about one bucket of its users: small, and handed from machine to machine as Parquet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from components.buckets import WHOLE, Bucket
from components.errors import DataError
from components.label.candidates import Survey


@dataclass(frozen=True)
class Attributed:
    """The survey of a day, the same for every bucket, and the outcomes of one bucket."""

    bucket: Bucket
    """Of `user_id`, else impression_id."""
    surveyed: Survey
    outcomes: pl.LazyFrame
    """impression_id, exposed_at, `row` (null: arrived late), clicked_at, acted_at, converted_at of what was clicked; in no order."""

    def write(self, folder: Path) -> None:
        """Write Parquet files into a folder, made here if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        part = {"number": [self.bucket.number], "count": [self.bucket.count], "first_row": [self.surveyed.first_row]}
        pl.DataFrame(part).write_parquet(folder / "part.parquet")
        self.surveyed.minutes.write_parquet(folder / "minutes.parquet")
        self.surveyed.late.write_parquet(folder / "late.parquet")
        self.outcomes.sink_parquet(folder / "outcomes.parquet", engine="streaming")

    @classmethod
    def read(cls, folder: Path) -> "Attributed":
        """Return what was written into a folder; its outcomes are read when they are asked for."""
        part = pl.read_parquet(folder / "part.parquet").row(0, named=True)
        minutes, late = (pl.read_parquet(folder / f"{name}.parquet") for name in ("minutes", "late"))
        surveyed = Survey(minutes, part["first_row"], late)
        return cls(Bucket(part["number"], part["count"]), surveyed, pl.scan_parquet(folder / "outcomes.parquet"))


def merge(buckets: Sequence[Attributed]) -> Attributed:
    """Put the buckets of one day together, in any order.

    Raises ValueError unless they are all buckets of the day, each once; DataError where two surveyed other impressions.
    """
    found, count = sorted(part.bucket.number for part in buckets), buckets[0].bucket.count if buckets else 1
    if found != list(range(count)) or {part.bucket.count for part in buckets} != {count}:
        names = ", ".join(str(part.bucket) for part in buckets) or "none"
        raise ValueError(f"attributed buckets: expected each of {count} once, found {names}; attribute the missing ones")
    first = buckets[0]
    for part in buckets:
        if not part.surveyed.equals(first.surveyed):
            raise DataError(
                f"attributed buckets {first.bucket} and {part.bucket}: expected the same impressions, found others; "
                "they were ingested again meanwhile: attribute all buckets again"
            )
    return replace(first, bucket=WHOLE, outcomes=pl.concat([part.outcomes for part in buckets]))
