"""The features of a day in the lake: rolled from yesterday's where those stand on what the lake holds now, else rebuilt; the same bytes.

A day's sums stand on the samples as they were labelled on it and on the outcomes that became known on it: its source. What each day of
the 30 stood on is kept in the record of `aggregate`, so that yesterday's features are not rolled after one of its days changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from components.aggregate.days import contribute
from components.aggregate.features import Priors, join_lists, make_features, make_priors
from components.aggregate.lists import list_outcomes
from components.aggregate.windows import (
    ITEM,
    USER,
    USER_CATEGORY,
    Entity,
    add_up,
    collect_parts,
    days_in_window,
    days_to_roll,
    overall_rates,
)
from components.lake import Lake
from components.records import Record, Records
from components.settings import Settings
from components.tables import OUTCOMES, USER_CATEGORY_FEATURES, USER_FEATURES, Table

_SUMS = "day-sums"
_COUNTED = {"users": USER, "items": ITEM, "user_categories": USER_CATEGORY}


@dataclass(frozen=True)
class Snapshots:
    """Where a day's features come from and go to."""

    lake: Lake
    records: Records
    settings: Settings
    samples: Callable[[date], pl.LazyFrame]
    """Reads the samples of a day as they were labelled on it."""

    def write(self, day: date) -> Record:
        """Write the features of `day` and its sums; return what the record of the step keeps. Days never relabelled count for nothing."""
        rolled = self._stands(day - timedelta(days=1))
        wanted = [when for when in (days_to_roll(day) if rolled else days_in_window(day)) if self._source(when)]
        for when in wanted:
            if when == day or not self._summed(when):
                self._sum_up(when)
        parts = {entity: self._parts(entity, day, wanted, rolled=rolled) for entity in _COUNTED.values()}
        priors = make_priors(overall_rates(parts[ITEM], ITEM), self.settings.aggregate)
        self._replace(ITEM, day, add_up(parts[ITEM], ITEM, profile=self.lake.profile), priors)
        self._replace(USER_CATEGORY, day, add_up(parts[USER_CATEGORY], USER_CATEGORY, profile=self.lake.profile), priors)
        self._replace(USER, day, self._listed(day, wanted, parts[USER], rolled=rolled), priors)
        counts = {name: self._count(entity.features, day) for name, entity in _COUNTED.items()}
        return {**counts, "rolled": rolled, "basis": self._basis(), "window": self._sources(day)}

    def _stands(self, yesterday: date) -> bool:
        """Whether yesterday's features were made of what the lake holds now, in the way that the settings ask for now."""
        found = self.records.read(yesterday, "aggregate")
        return found is not None and (found["basis"], found["window"]) == (self._basis(), self._sources(yesterday))

    def _basis(self) -> Record:
        """Return the settings that decide what a day's features keep for the next day."""
        profile = self.lake.profile
        roles = {role: getattr(profile, role) for role in ("category", "shop", "brand", "price")}
        return {**roles, "list_length": self.settings.aggregate.list_length}

    def _sources(self, day: date) -> dict[str, str]:
        """Return what each day of the window to `day` stands on."""
        found = {str(when): self._source(when) for when in days_in_window(day)}
        return {when: source for when, source in found.items() if source}

    def _source(self, day: date) -> str:
        """Return what a day's sums stand on: its samples and its outcomes; empty where it has none."""
        labelled, relabelled = (self.records.read(day, step) for step in ("label", "relabel"))
        return f"{labelled['fingerprint']} {relabelled['table_version']}" if labelled and relabelled else ""

    def _summed(self, day: date) -> bool:
        """Whether the day's sums in the lake stand on its source."""
        found = self.records.read(day, _SUMS)
        return found is not None and found["source"] == self._source(day)

    def _sum_up(self, day: date) -> None:
        """Write the sums of one day."""
        source, profile = self._source(day), self.lake.profile
        sums = contribute(self.samples(day), self.lake.scan(OUTCOMES, day), day=day, profile=profile)
        for table, rows in sums.items():
            self.lake.replace(table, day, rows)
        self.records.write(day, _SUMS, {"day": str(day), "step": _SUMS, "source": source})

    def _parts(self, entity: Entity, day: date, wanted: list[date], *, rolled: bool) -> pl.LazyFrame:
        days = self._scan(entity.days, wanted)
        yesterday = self.lake.scan(entity.features, day - timedelta(days=1)) if rolled else None
        return collect_parts(days, yesterday, entity, day=day, profile=self.lake.profile)

    def _scan(self, table: Table, days: list[date]) -> pl.LazyFrame:
        """Read some days of a table; a whole window in one scan, for each opening of a table costs as much as a small day."""
        if len(days) <= len(days_to_roll(days[0])):
            return pl.concat([self.lake.scan(table, day) for day in days])
        return self.lake.scan(table, min(days), max(days)).filter(pl.col("day").is_in(days))

    def _listed(self, day: date, wanted: list[date], parts: pl.LazyFrame, *, rolled: bool) -> pl.LazyFrame:
        """Return the users' sums with their lists."""
        profile, length = self.lake.profile, self.settings.aggregate.list_length
        outcomes = self._scan(OUTCOMES, [day] if rolled else wanted)
        yesterday = self.lake.scan(USER_FEATURES, day - timedelta(days=1)) if rolled else None
        lists = list_outcomes(outcomes, yesterday, day=day, length=length, profile=profile)
        return join_lists(add_up(parts, USER, profile=profile), lists, self.lake.scan(USER_CATEGORY_FEATURES, day), profile=profile)

    def _replace(self, entity: Entity, day: date, sums: pl.LazyFrame, priors: Priors) -> None:
        features = make_features(sums, priors, entity, day=day, profile=self.lake.profile)
        self.lake.replace(entity.features, day, features)

    def _count(self, table: Table, day: date) -> int:
        return int(self.lake.scan(table, day).select(pl.len()).collect().item())
