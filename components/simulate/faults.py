"""What goes wrong between a shop and its logs: rows sent twice, rows sent twice with different content, rows that cannot be read.

Broken rows are added as mangled copies of good ones, so every row of the truth still arrives.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


def repeat_rows(rng: np.random.Generator, log: pl.DataFrame, altered: pl.Expr) -> tuple[pl.DataFrame, int, int]:
    """Add exact copies of about 1 % of the rows, and copies of 0.1 % changed by `altered`, at random places.

    No row is copied twice. Returns the log, the number of exact copies and the number of changed ones.
    """
    num_exact = round(EXACT_SHARE * log.height)
    num_changed = round(CONFLICT_SHARE * log.height + 0.4)
    chosen = rng.permutation(log.height)[: num_exact + num_changed]
    exact, changed = log[chosen[:num_exact]], log[chosen[num_exact:]].with_columns(altered)
    return mix_in(rng, log, pl.concat([exact, changed])), num_exact, changed.height


def mix_in(rng: np.random.Generator, log: pl.DataFrame, extra: pl.DataFrame) -> pl.DataFrame:
    """Put the extra rows at random places; the others keep their order."""
    return pl.concat([log, extra])[_places(rng, log.height, extra.height)]


def break_rows(rng: np.random.Generator, log: pl.DataFrame, *, time: str, keys: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """Add typed rows that lack a key or the time, or whose time is far ahead. Returns the log and the number added."""
    nothing = [pl.lit(None, dtype=log.schema[name]).alias(name) for name in (*keys, time)]
    breakers = [*nothing, pl.col(time) + timedelta(days=3650)]
    count = _num_broken(log.height, len(breakers))
    copies = log[rng.integers(0, max(log.height, 1), count)]
    broken = [copies[i : i + 1].with_columns(breakers[i % len(breakers)]) for i in range(count)]
    return (mix_in(rng, log, pl.concat(broken)) if broken else log), count


def break_lines(rng: np.random.Generator, lines: list[str], breakers: Sequence[Callable[[str], str]]) -> tuple[list[str], int]:
    """Add mangled copies of text lines. Returns the lines and the number added."""
    count = _num_broken(len(lines), len(breakers))
    copies = [lines[int(i)] for i in rng.integers(0, max(len(lines), 1), count)]
    broken = [breakers[i % len(breakers)](line) for i, line in enumerate(copies)]
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


def _num_broken(rows: int, sorts: int) -> int:
    return min(rows // _READABLE_PER_BROKEN, _BROKEN_EACH * sorts)


def _places(rng: np.random.Generator, rows: int, extra: int) -> Ints:
    return np.argsort(np.concatenate([np.arange(rows), rng.uniform(0, max(rows, 1), extra)]), kind="stable")
