"""What users' features are made of, and the sums and lists made of it: a range of user ids at a time, for memory's sake."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from components.aggregate.features import count_distinct
from components.aggregate.lists import list_outcomes
from components.aggregate.windows import USER, USER_CATEGORY, Entity, add_up, collect_parts
from components.profile import Profile
from components.tables import OUTCOME_KINDS


@dataclass(frozen=True)
class Sources:
    """What is read of some users: by entity, the sums of single days and yesterday's features (None: rebuilt); and their outcomes."""

    days: Mapping[Entity, pl.LazyFrame]
    yesterday: Mapping[Entity, pl.LazyFrame] | None
    outcomes: pl.LazyFrame

    def of(self, users: pl.Expr) -> "Sources":
        """Narrow all of it down to the users of which `users`, on the column user_id, is true."""
        days = {entity: rows.filter(users) for entity, rows in self.days.items()}
        yesterday = {entity: rows.filter(users) for entity, rows in self.yesterday.items()} if self.yesterday else None
        return Sources(days, yesterday, self.outcomes.filter(users))


@dataclass(frozen=True)
class Users:
    """Makes the rows of users as of the end of a day."""

    day: date
    length: int
    """Entries of a list at most."""
    profile: Profile

    def make(self, sources: Sources) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return (users, users with categories), each sorted by its key: sums, ages and, of users, lists; no rates yet."""
        users, pairs = (self._sum(sources, entity) for entity in (USER, USER_CATEGORY))
        yesterday = sources.yesterday[USER] if sources.yesterday else None
        lists = list_outcomes(users["user_id"], sources.outcomes, yesterday, day=self.day, length=self.length, profile=self.profile)
        return users.hstack(count_distinct(lists, pairs, profile=self.profile).drop("user_id")), pairs

    def ranges(self, sources: Sources, held: int) -> Iterator[pl.Expr]:
        """Yield what tells the users of each range, in the order of their ids.

        A range holds about `held` rows of users and entries of lists, more only by what one user has.
        """
        cuts = self._cuts(sources, held)
        for first, end in zip([None, *cuts], [*cuts, None], strict=True):
            low = pl.col("user_id") >= first if first is not None else pl.lit(value=True)
            yield low & (pl.col("user_id") < end) if end is not None else low

    def _sum(self, sources: Sources, entity: Entity) -> pl.DataFrame:
        yesterday = sources.yesterday[entity] if sources.yesterday else None
        parts = collect_parts(sources.days[entity], yesterday, entity, day=self.day, profile=self.profile)
        return add_up(parts, entity, profile=self.profile).sort(entity.days.key).collect(engine="streaming")

    def _cuts(self, sources: Sources, held: int) -> list[str]:
        """Return the ids at which a range begins, but for the first."""
        weights = self._weights(sources)
        if weights.select(pl.col("weight").sum()).collect(engine="streaming").item() <= held:
            return []
        ordered = weights.sort("user_id").select("user_id", number=(pl.col("weight").cum_sum() - pl.col("weight")) // held)
        firsts = ordered.filter(pl.col("number") > pl.col("number").shift(fill_value=0)).select(pl.col("user_id").unique().sort())
        return firsts.collect(engine="streaming")["user_id"].to_list()

    def _weights(self, sources: Sources) -> pl.LazyFrame:
        """Return rows of user_id and weight: one for a row, and one for each entry that lists may have of it."""
        fresh = pl.sum_horizontal(f"{kind}_count" for kind in OUTCOME_KINDS)
        weights = [sources.days[USER].select("user_id", weight=1 + fresh)]
        if sources.yesterday:
            listed = pl.sum_horizontal(pl.col(f"user_{kind}_count_30d").clip(upper_bound=self.length) for kind in OUTCOME_KINDS)
            weights.append(sources.yesterday[USER].select("user_id", weight=1 + listed))
        return pl.concat(weights)
