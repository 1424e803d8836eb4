"""Generated days full of ties, borders and repeats: many small cases, each with its own users, items and ids, in one set of logs."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl

from tests.label.logs import DAY, SCHEMAS, START, frame

Row = dict[str, Any]
Rows = dict[str, list[Row]]
HALF_HOUR, MICROSECOND, ONE_DAY = timedelta(minutes=30), timedelta(microseconds=1), timedelta(days=1)
_STEPS = [*[44, 45, 46, 47] * 5, -1, 0, 48, 49, 50]
"""Half hours from the start of the day: its eve, its first, its last and those of the next day."""
_ARRIVALS = [*[DAY] * 9, DAY + ONE_DAY, DAY + 2 * ONE_DAY, DAY - ONE_DAY]
_KEYS = {"impressions": "abcdefghklmn", "clicks": "-1234567890", "actions": "-1234", "purchases": "-123456"}
_SIZES = {"impressions": (2, 12), "clicks": (3, 14), "actions": (0, 5), "purchases": (0, 9)}


def make_case(seed: int) -> Rows:
    """Return 5 to 40 rows: windows of half hours are met to the microsecond, users and items repeat, keys repeat over arrival days."""
    draw = random.Random(seed)
    return {kind: [_make_row(draw, kind, str(seed)) for _ in range(draw.randint(*_SIZES[kind]))] for kind in SCHEMAS}


def _make_row(draw: random.Random, kind: str, case: str) -> Row:
    key, at = next(iter(SCHEMAS[kind])), next(name for name in SCHEMAS[kind] if name.endswith("_at"))
    named, user = draw.choice([None] * 6 + [*"abcdefgh"]), draw.choice(["u", "u", "u", "u", "v", None])
    values: Row = {
        "impression_id": named and f"{named}/{case}",
        "user_id": user and f"{user}/{case}",
        "item_id": draw.choice("iiiij") + "/" + case,
        at: START + draw.choice(_STEPS) * HALF_HOUR + draw.choice([0, 0, 0, 0, 0, 0, -1, 1]) * MICROSECOND,
        "arrived_on": draw.choice(_ARRIVALS),
        "position": draw.choice([None, 1, 2]),
        "scene": draw.choice([None, "h"]),
        "amount": 1.0,
    }
    name = draw.choice(_KEYS[kind])
    values[key] = None if name == "-" else f"{name}/{case}"
    return {column: values[column] for column in SCHEMAS[kind]}


def pool(cases: list[Rows]) -> dict[str, pl.LazyFrame]:
    """Lay the rows of many cases into one set of logs."""
    return {kind: frame(kind, [row for case in cases for row in case[kind]]) for kind in SCHEMAS}


def change(cases: list[Rows], edit: Callable[[str, Row], list[Row]]) -> list[Rows]:
    """Return the cases with each row replaced by what `edit` makes of it, given its kind."""
    return [{kind: [made for row in rows for made in edit(kind, row)] for kind, rows in case.items()} for case in cases]


def once(cases: list[Rows]) -> list[Rows]:
    """Keep the first of the rows of one key, and give rows without one a key: delivery may repeat them."""

    def keep(rows: list[Row]) -> list[Row]:
        key = next(iter(rows[0]), "") if rows else ""
        named = [row if row[key] is not None else {**row, key: f"{number}/{row['item_id']}"} for number, row in enumerate(rows)]
        return list({row[key]: row for row in reversed(named)}.values())

    return [{kind: keep(rows) for kind, rows in case.items()} for case in cases]
