"""What goes wrong between a shop and its logs: rows sent twice, rows sent twice with different content, rows that cannot be read.

Broken rows are added as mangled copies of good ones, so every row of the truth still arrives. A log may come in chunks: `before` counts the
rows of the chunks before this one, and the shares are those of the whole.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta

import numpy as np
import polars as pl

from components.simulate.population import Ints

EXACT_SHARE = 0.01
CONFLICT_SHARE = 0.001
_BROKEN_EACH = 4
_READABLE_PER_BROKEN = 50  # small logs get fewer broken rows, so that they still pass validation
_NO_SUCH_TIME = "2024-02-30T25:61:00.000Z"


@dataclass(frozen=True)
class Written:
    """Rows of one kind and arrival day as written; `rows` counts them all."""

    rows: int
    exact_duplicates: int
    conflicting_duplicates: int
    broken: int

    @property
    def events(self) -> int:
        """Rows before the faults."""
        return self.rows - self.exact_duplicates - self.conflicting_duplicates - self.broken

    def __add__(self, more: "Written") -> "Written":
        """Count two chunks of one log."""
        return Written(*(getattr(self, field.name) + getattr(more, field.name) for field in fields(self)))


def repeat_rows(rng: np.random.Generator, log: pl.DataFrame, altered: pl.Expr, *, before: int = 0) -> tuple[pl.DataFrame, int, int]:
    """Add exact copies of about 1 % of the rows, and copies of 0.1 % changed by `altered`, at random places.

    No row is copied twice. Returns the log, the number of exact copies and the number of changed ones.
    """
    num_exact, num_changed = (count(before + log.height) - count(before) for count in (_num_exact, _num_changed))
    chosen = rng.permutation(log.height)[: num_exact + num_changed]
    exact, changed = log[chosen[:num_exact]], log[chosen[num_exact:]].with_columns(altered)
    return mix_in(rng, log, pl.concat([exact, changed])), exact.height, changed.height


def mix_in(rng: np.random.Generator, log: pl.DataFrame, extra: pl.DataFrame) -> pl.DataFrame:
    """Put the extra rows at random places; the others keep their order."""
    return pl.concat([log, extra])[_places(rng, log.height, extra.height)]


def break_rows(rng: np.random.Generator, log: pl.DataFrame, *, time: str, keys: Sequence[str], before: int = 0) -> tuple[pl.DataFrame, int]:
    """Add typed rows that lack a key or the time, or whose time is far ahead. Returns the log and the number added."""
    nothing = [pl.lit(None, dtype=log.schema[name]).alias(name) for name in (*keys, time)]
    breakers = [*nothing, pl.col(time) + timedelta(days=3650)]
    done, count = _num_broken(before, log.height, len(breakers))
    copies = log[rng.integers(0, max(log.height, 1), count)]
    broken = [copies[i : i + 1].with_columns(breakers[(done + i) % len(breakers)]) for i in range(count)]
    return (mix_in(rng, log, pl.concat(broken)) if broken else log), count


def break_lines(
    rng: np.random.Generator, lines: list[str], breakers: Sequence[Callable[[str], str]], *, before: int = 0
) -> tuple[list[str], int]:
    """Add mangled copies of text lines. Returns the lines and the number added."""
    done, count = _num_broken(before, len(lines), len(breakers))
    copies = [lines[int(i)] for i in rng.integers(0, max(len(lines), 1), count)]
    broken = [breakers[(done + i) % len(breakers)](line) for i, line in enumerate(copies)]
    mixed = [*lines, *broken]
    return [mixed[int(i)] for i in _places(rng, len(lines), count)], count


def json_breakers(*, time: str, key: str) -> tuple[Callable[[str], str], ...]:
    """Return ways to spoil a line of JSON: cut off, not JSON at all, an impossible time, an id left out."""

    def without(line: str) -> str:
        return json.dumps({name: value for name, value in json.loads(line).items() if name != key})

    def impossible(line: str) -> str:
        return json.dumps({**json.loads(line), time: _NO_SUCH_TIME})

    return (lambda line: line[: len(line) // 2], lambda _: "<html>502 Bad Gateway</html>", impossible, without)


def csv_breakers(columns: Sequence[str], *, time: str, key: str) -> tuple[Callable[[str], str], ...]:
    """Return ways to spoil a line of CSV: a field too few, a field too many, an impossible time, an empty id."""

    def change(line: str, column: str, value: str) -> str:
        cells = line.split(",")
        cells[columns.index(column)] = value
        return ",".join(cells)

    return (
        lambda line: line.rsplit(",", 1)[0],
        lambda line: f"{line},?",
        lambda line: change(line, time, _NO_SUCH_TIME),
        lambda line: change(line, key, ""),
    )


def _num_exact(rows: int) -> int:
    return round(EXACT_SHARE * rows)


def _num_changed(rows: int) -> int:
    return round(CONFLICT_SHARE * rows + 0.4)


def _num_broken(before: int, rows: int, sorts: int) -> tuple[int, int]:
    """Return how many rows were broken in the chunks before, and how many are in this one."""
    done, all_of_them = (min(count // _READABLE_PER_BROKEN, _BROKEN_EACH * sorts) for count in (before, before + rows))
    return done, all_of_them - done


def _places(rng: np.random.Generator, rows: int, extra: int) -> Ints:
    return np.argsort(np.concatenate([np.arange(rows), rng.uniform(0, max(rows, 1), extra)]), kind="stable")
