"""Buckets of users: what lets several processes, or machines, share the work on a day."""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Bucket:
    """One of `count` buckets that users are hashed into, `number` from 0."""

    number: int
    count: int

    def __post_init__(self) -> None:
        """Raise ValueError for a number that no bucket has."""
        if not 0 <= self.number < self.count:
            raise ValueError(f"bucket {self.number} of {self.count}: expected a number from 0 to {self.count - 1}")

    def __str__(self) -> str:
        """Return the bucket as `3/16`: the number, and how many there are."""
        return f"{self.number}/{self.count}"

    def holds(self, *key: str) -> pl.Expr:
        """Whether the first of the text columns `key` that is not null hashes into this bucket; a row without any belongs to bucket 0.

        Polars' hash is the same in every process of one version of Polars, which the lock fixes; nothing is kept by it.
        """
        if self.count == 1:
            return pl.lit(value=True)
        name = pl.coalesce(key) if len(key) > 1 else pl.col(key[0])
        return pl.when(name.is_null()).then(self.number == 0).otherwise(name.hash(0) % self.count == self.number)


WHOLE = Bucket(0, 1)
