"""The feature rules in plain Python: loops over dictionaries, written from the tables' description and not from the Polars code."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from components.profile import Profile
from components.settings import Aggregate

Row = dict[str, Any]
KINDS = ("click", "action", "conversion")
EVENTS = ("impression", *KINDS)


class Reference:
    """What is known at the end of a day, and the features that follow from it."""

    def __init__(self, shown: list[Row], outcomes: list[Row], *, day: date, options: Aggregate, profile: Profile) -> None:
        """Turn impressions and outcomes into one list of events that became known in the 30 days."""
        self.day, self.options, self.profile = day, options, profile
        self.end = datetime.combine(day, time(), UTC) + timedelta(days=1)
        first = day - timedelta(days=29)
        events = [{**row, "kind": "impression", "at": row["exposed_at"]} for row in shown]
        events += [{**row, "kind": row["outcome"], "at": row["happened_at"]} for row in outcomes if row["happened_at"] < self.end]
        self.events = [event for event in events if first <= event["day"] <= day]
        self.rates = {days: self._overall(days) for days in (1, 7, 30)}

    def tables(self) -> dict[str, list[Row]]:
        """Return the rows of the three tables of features, by key."""
        users = sorted({event["user_id"] for event in self.events} - {None})
        items = sorted({event["item_id"] for event in self.events})
        return {
            "user_features": [self._user(name) for name in users],
            "item_features": [self._item(name) for name in items],
            "user_category_features": self._pairs(),
        }

    def _overall(self, days: int) -> dict[str, float]:
        shown, clicks, conversions = (self._count(self.events, kind, days) for kind in ("impression", "click", "conversion"))
        return {"click": clicks / shown if shown else 0.0, "conversion": conversions / clicks if clicks else 0.0}

    def _count(self, events: list[Row], kind: str, days: int) -> int:
        return sum(event["kind"] == kind and event["day"] > self.day - timedelta(days=days) for event in events)

    def _activity(self, entity: str, events: list[Row]) -> Row:
        row: Row = {"event_timestamp": self.end}
        for kind in EVENTS:
            for days in (1, 7, 30):
                row[f"{entity}_{kind}_count_{days}d"] = self._count(events, kind, days)
            ages = [self.end - event["at"] for event in events if event["kind"] == kind]
            ages = [age for age in ages if age <= timedelta(days=30)]
            row[f"{entity}_{kind}_age_s_30d"] = -(-min(ages) // timedelta(seconds=1)) if ages else None
        for days in (1, 7, 30):
            shown, clicks, conversions = (row[f"{entity}_{kind}_count_{days}d"] for kind in ("impression", "click", "conversion"))
            prior, trust, overall = self.options.prior_impressions, self.options.prior_clicks, self.rates[days]
            row[f"{entity}_click_rate_{days}d"] = min(1.0, (clicks + prior * overall["click"]) / (shown + prior))
            row[f"{entity}_conversion_rate_{days}d"] = min(1.0, (conversions + trust * overall["conversion"]) / (clicks + trust))
        return row

    def _prices(self, name: str, events: list[Row]) -> Row:
        if not self.profile.price:
            return {}
        prices = [event[self.profile.price] for event in events if event[self.profile.price] is not None]
        cents = [round(price * 100) for price in prices if abs(price) < 1e9]
        mean = sum(cents) / (100 * len(cents)) if cents else None
        return {f"{name}_count_30d": len(cents), f"{name}_cents_30d": sum(cents), f"{name}_mean_30d": mean}

    def _user(self, name: str) -> Row:
        events = [event for event in self.events if event["user_id"] == name]
        row = {"user_id": name, **self._activity("user", events)}
        for kind in ("click", "conversion"):
            row |= self._prices(f"user_{kind}_price", [event for event in events if event["kind"] == kind])
        for kind in (*KINDS, "behaviour"):
            row |= self._lists(kind, [event for event in events if event["kind"] in (KINDS if kind == "behaviour" else [kind])])
        row["user_click_distinct_items_30d"] = len(set(row["user_click_items_30d"]))
        if self.profile.category:
            known = {event[self.profile.category] for event in events if event["kind"] == "click"}
            row["user_click_distinct_categories_30d"] = len(known - {None})
        return {"user_click_categories_30d": [], **row}

    def _lists(self, kind: str, events: list[Row]) -> Row:
        declared = {"categories": self.profile.category, "shops": self.profile.shop, "brands": self.profile.brand}
        attributes = {name: column for name, column in declared.items() if column}
        entries = []
        for event in events:
            if self.end - event["at"] <= timedelta(days=30):
                texts = ["" if event[column] is None else str(event[column]) for column in attributes.values()]
                entries.append(
                    ((event["at"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), event["kind"], event["item_id"], *texts)
                )
        entries = sorted(entries, reverse=True)[: self.options.list_length]
        names = ["times", "kinds", "items", *attributes]
        columns = {name: [entry[place] for entry in entries] for place, name in enumerate(names)}
        if kind != "behaviour":
            del columns["kinds"]
        return {f"user_{kind}_{name}_30d": values for name, values in columns.items()}

    def _item(self, name: str) -> Row:
        events = [event for event in self.events if event["item_id"] == name]
        row = {"item_id": name, **self._activity("item", events)}
        clicks = [event for event in events if event["kind"] == "click" and event["user_id"] is not None]
        for days in (1, 30):
            visits = {(event["user_id"], event["day"]) for event in clicks if event["day"] > self.day - timedelta(days=days)}
            row[f"item_click_user_days_{days}d"] = len(visits)
        return {**row, **self._prices("item_price", [event for event in events if event["kind"] == "impression"])}

    def _pairs(self) -> list[Row]:
        column = self.profile.category
        events = [event for event in self.events if column and event["kind"] in KINDS and event["user_id"] is not None]
        pairs = sorted({(event["user_id"], str(event[column])) for event in events if event[column] is not None})
        rows = []
        for user, category in pairs:
            mine = [event for event in events if (event["user_id"], str(event[column])) == (user, category)]
            counts = {f"user_category_{kind}_count_{days}d": self._count(mine, kind, days) for kind in KINDS for days in (7, 30)}
            rows.append({"user_id": user, "category": category, "event_timestamp": self.end, **counts})
        return rows
