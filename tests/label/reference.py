"""The label rules in plain Python: loops over dictionaries, written from the data contract and not from the Polars code."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

Row = dict[str, Any]


def label(logs: dict[str, list[Row]], *, day: date, labelled_through: datetime, windows: tuple[timedelta, timedelta]) -> list[Row]:
    """Return the samples of `day`. windows: for a click after its exposure, for a purchase or action after its click."""
    keys = {"impressions": "impression_id", "clicks": "click_id", "actions": "action_id", "purchases": "order_id"}
    times = {"impressions": "exposed_at", "clicks": "clicked_at", "actions": "acted_at", "purchases": "purchased_at"}
    seen = {kind: _seen(logs[kind], keys[kind], times[kind], day, labelled_through) for kind in keys}
    shown = {row["impression_id"]: row for row in seen["impressions"]}
    first_click: dict[str, datetime] = {}
    uncredited: list[Row] = []
    for click in seen["clicks"]:
        owner = _impression_of(click, shown, windows[0])
        if owner is None:
            uncredited.append(click)
        elif owner not in first_click or click["clicked_at"] < first_click[owner]:
            first_click[owner] = click["clicked_at"]
    first_act = _first_through_clicks(seen["actions"], "acted_at", shown, first_click, uncredited, windows[1])
    first_buy = _first_through_clicks(seen["purchases"], "purchased_at", shown, first_click, uncredited, windows[1])
    samples = []
    for name, row in shown.items():
        if row["exposed_at"].date() != day:
            continue
        sample = {column: value for column, value in row.items() if column != "arrived_on"}
        for done, found in (("clicked", first_click), ("acted", first_act), ("converted", first_buy)):
            sample[done] = name in found
            sample[f"{done}_at"] = found.get(name)
        sample["labelled_through"] = labelled_through
        sample["matures_at"] = row["exposed_at"] + windows[0] + windows[1]
        samples.append(sample)
    samples.sort(key=lambda sample: (sample["exposed_at"], sample["impression_id"]))
    return samples


def _seen(rows: list[Row], key: str, at: str, day: date, labelled_through: datetime) -> list[Row]:
    """Rows that arrived from `day` to the eve of the cut-off and happened before it; a repeated key once."""
    first: dict[str, Row] = {}
    keyless = []
    for row in rows:
        if not day <= row["arrived_on"] < labelled_through.date() or row[at] >= labelled_through:
            continue
        if row[key] is None:
            keyless.append(row)
        elif row[key] not in first or _order(row, at) < _order(first[row[key]], at):
            first[row[key]] = row
    return [*first.values(), *keyless]


def _order(row: Row, at: str) -> tuple[Any, ...]:
    rest = [(row[name] is not None, row[name] or "") for name in row if name not in ("arrived_on", at)]
    return (row["arrived_on"], row[at], rest)


def _impression_of(click: Row, shown: dict[str, Row], window: timedelta) -> str | None:
    if click["impression_id"] is not None:
        named = shown.get(click["impression_id"])
        if named is not None and timedelta(0) <= click["clicked_at"] - named["exposed_at"] <= window:
            return str(named["impression_id"])
        return None
    best = None
    for name, row in shown.items():
        if click["user_id"] is None or row["user_id"] != click["user_id"] or row["item_id"] != click["item_id"]:
            continue
        if not timedelta(0) <= click["clicked_at"] - row["exposed_at"] <= window:
            continue
        if best is None or (row["exposed_at"], name) > best:
            best = (row["exposed_at"], name)
    return None if best is None else best[1]


def _first_through_clicks(
    events: list[Row], at: str, shown: dict[str, Row], first_click: dict[str, datetime], uncredited: list[Row], window: timedelta
) -> dict[str, datetime]:
    """Return the first time of the events credited to each impression's click."""
    first: dict[str, datetime] = {}
    for event in events:
        owner = _click_of(event, at, shown, first_click, uncredited, window)
        if owner is not None and (owner not in first or event[at] < first[owner]):
            first[owner] = event[at]
    return first


def _click_of(
    event: Row, at: str, shown: dict[str, Row], first_click: dict[str, datetime], uncredited: list[Row], window: timedelta
) -> str | None:
    if event["impression_id"] is not None:
        clicked_at = first_click.get(event["impression_id"])
        if clicked_at is not None and timedelta(0) <= event[at] - clicked_at <= window:
            return str(event["impression_id"])
        return None
    if event["user_id"] is None:
        return None
    before_all = datetime.combine(date.min, time(), UTC)
    best: tuple[datetime, bool, datetime, str] | None = None
    pair = (event["user_id"], event["item_id"])
    for name, clicked_at in first_click.items():
        row = shown[name]
        candidate = (clicked_at, True, row["exposed_at"], name)
        if (row["user_id"], row["item_id"]) == pair and timedelta(0) <= event[at] - clicked_at <= window:
            best = candidate if best is None or candidate > best else best
    for click in uncredited:
        candidate = (click["clicked_at"], False, before_all, "")
        if (click["user_id"], click["item_id"]) == pair and timedelta(0) <= event[at] - click["clicked_at"] <= window:
            best = candidate if best is None or candidate > best else best
    return best[3] if best is not None and best[1] else None
