"""The feature rules in plain Python: loops over dictionaries, written from the table's description and not from the Polars code."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from components.settings import Aggregate

Row = dict[str, Any]
_TIMES = {"impression": "exposed_at", "click": "clicked_at", "action": "acted_at", "conversion": "converted_at"}


def features(samples: list[Row], entity: str, *, day: date, options: Aggregate, category: str = "") -> list[Row]:
    """Return the rows of `<entity>_features` as of the end of `day`, by id."""
    end = datetime.combine(day, time(), UTC) + timedelta(days=1)
    window = [row for row in samples if day - timedelta(days=options.history_days) < row["day"] <= day]
    overall = _count(window, end, day - timedelta(days=6), day)
    click_rate = overall["click"] / overall["impression"] if overall["impression"] else 0.0
    conversion_rate = overall["conversion"] / overall["click"] if overall["click"] else 0.0
    rows = []
    for name in sorted({row[f"{entity}_id"] for row in window if row[f"{entity}_id"] is not None}):
        mine = [row for row in window if row[f"{entity}_id"] == name]
        one, seven = _count(mine, end, day, day), _count(mine, end, day - timedelta(days=6), day)
        row: Row = {f"{entity}_id": name, "event_timestamp": end}
        for event in _TIMES:
            row[f"{entity}_{event}_count_1d"], row[f"{entity}_{event}_count_7d"] = one[event], seven[event]
        clicks, prior, trust = seven["click"], options.prior_impressions, options.prior_clicks
        row[f"{entity}_click_rate_7d"] = (clicks + prior * click_rate) / (seven["impression"] + prior)
        row[f"{entity}_conversion_rate_7d"] = (seven["conversion"] + trust * conversion_rate) / (clicks + trust)
        for event in ("impression", "click"):
            row[f"{entity}_{event}_age_s_30d"] = _age(mine, _TIMES[event], end)
        if entity == "user":
            recent = _clicks(mine, end)[: options.list_length]
            row["user_click_items_30d"] = [click["item_id"] for click in recent]
            row["user_click_categories_30d"] = [str(click[category]) for click in recent if category and click[category] is not None]
        rows.append(row)
    return rows


def _count(rows: list[Row], end: datetime, first: date, last: date) -> dict[str, int]:
    within = [row for row in rows if first <= row["day"] <= last]
    return {event: sum(row[at] is not None and row[at] < end for row in within) for event, at in _TIMES.items()}


def _clicks(rows: list[Row], end: datetime) -> list[Row]:
    clicks = [row for row in rows if row["clicked_at"] is not None and row["clicked_at"] < end]
    return sorted(clicks, key=lambda row: (row["clicked_at"], row["impression_id"]), reverse=True)


def _age(rows: list[Row], at: str, end: datetime) -> int | None:
    times = [row[at] for row in rows if row[at] is not None and row[at] < end]
    return (end - max(times)) // timedelta(seconds=1) if times else None
