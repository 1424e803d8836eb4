"""A landing zone in the making: event files by day, each row of the source accounted for, seen by nobody before it is whole."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from components.disk import folder_beside
from components.errors import DataError, SettingsError
from components.profile import EVENT_TIME, Kind

PROFILES = Path(__file__).parent / "profiles"
_ROW_GROUP = 1 << 16
"""Rows: a group's columns are encoded at once, and lists of thousands of ids are wide."""


@dataclass
class Tally:
    """What became of the rows of the source."""

    rows_in: int = 0
    written: Counter[str] = field(default_factory=Counter)
    """Rows by kind of event."""
    refused: Counter[str] = field(default_factory=Counter)
    """Rows that are no impression, by what is wrong with them."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Outcomes of impressions that are kept, by why they make no event."""

    def told(self) -> dict[str, Any]:
        """Return the counts; raises DataError unless every row is an impression or refused."""
        accounted = self.written["impressions"] + self.refused.total()
        if self.rows_in != accounted:
            raise DataError(
                f"convert: expected {self.rows_in:,} rows as impressions or refused, found {accounted:,}; report this as a fault"
            )
        counts = {"rows_in": self.rows_in, **dict(sorted(self.written.items()))}
        return {**counts, "refused": dict(sorted(self.refused.items())), "left_out": dict(sorted((+self.left_out).items()))}


class Landing:
    """The folder that becomes `<out>`, and the tally of what was put there."""

    def __init__(self, made: Path, scratch: Path) -> None:
        """Start with nothing. scratch: a folder for the set's own use."""
        self.made, self.scratch, self.tally = made, scratch, Tally()
        self._parts: Counter[Path] = Counter()
        self._empty: dict[Kind, pl.DataFrame] = {}

    def take(self, rows: pl.DataFrame, *faults: pl.Expr) -> pl.DataFrame:
        """Count rows of the source and return those that are impressions.

        faults: texts, null where nothing is wrong; the first one of a row is what it is refused for.
        """
        judged = rows.with_columns(fault=pl.coalesce(*faults))
        self.tally.rows_in += judged.height
        for fault, count in judged["fault"].drop_nulls().value_counts().iter_rows():
            self.tally.refused[fault] += count
        return judged.filter(pl.col("fault").is_null()).drop("fault")

    def write(self, kind: Kind, events: pl.DataFrame) -> None:
        """Write events, in their order, into a new file of each UTC day on which some of them happened."""
        self._empty[kind] = events.clear()
        self.tally.written[kind] += events.height
        days = events[EVENT_TIME[kind]].dt.date()
        for day in days.unique().sort():
            self._store(kind, day, events.filter(days == day))

    def finish(self, profile: str) -> dict[str, Any]:
        """Copy the set's profile and give every day of impressions a file of every kind; returns the tally and the days."""
        days = sorted(date.fromisoformat(path.name.removeprefix("day=")) for path in self.made.glob("impressions/day=*"))
        told = self.tally.told()
        if not days:
            raise DataError(f"convert: expected impressions, found none in {told['rows_in']:,} rows: {told['refused']}; check the files")
        for day in (days[0] + timedelta(days=number) for number in range((days[-1] - days[0]).days + 1)):
            for kind, empty in self._empty.items():
                if not self._folder(kind, day).exists():
                    self._store(kind, day, empty)
        shutil.copyfile(PROFILES / f"{profile}.toml", self.made / "profile.toml")
        return {**told, "first_day": str(days[0]), "last_day": str(days[-1])}

    def _folder(self, kind: Kind, day: date) -> Path:
        return self.made / kind / f"day={day}"

    def _store(self, kind: Kind, day: date, events: pl.DataFrame) -> None:
        folder = self._folder(kind, day)
        folder.mkdir(parents=True, exist_ok=True)
        events.write_parquet(folder / f"part-{self._parts[folder]:05}.parquet", row_group_size=_ROW_GROUP)
        self._parts[folder] += 1


@contextmanager
def new_landing(out: Path) -> Iterator[Landing]:
    """Give a landing zone that becomes the folder `out` when the block ends well; else nothing is left of it.

    Raises SettingsError where `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out}: expected a new or empty folder, found something in its place; name another, or remove it")
    with folder_beside(out) as scratch:
        made = scratch / "made"
        made.mkdir()
        yield Landing(made, scratch)
        made.rename(out)
