"""The report's view of its data: how far features drifted over the days, and how complete the labels of earlier days are."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from components.evaluate.figures import Figure
from components.evaluate.plots import Axis, Point, Series, heat_grid, line_chart, nice_axis
from components.evaluate.report_tables import share

Record = Mapping[str, Any]
_DRIFT = {"psi": "Population stability index", "js": "Jensen-Shannon divergence"}
_ROWS = 16
_TICKS = ((60, "1 min"), (3600, "1 h"), (86_400, "1 day"), (604_800, "7 d"), (2_419_200, "28 d"))
_DELAYS = ((1800, "30 min"), (3600, "1 h"), (21_600, "6 h"), (86_400, "1 day"), (259_200, "3 days"), (604_800, "7 days"))


def drift_figures(days: Sequence[tuple[date, Mapping[str, Record]]]) -> list[Figure]:
    """Draw each compared column's PSI and divergence against its 7 days before, a square a day; the columns that drifted most first."""
    return [_drift(name, title, days) for name, title in _DRIFT.items()]


def completeness_figure(relabelled: Record | None) -> Figure:
    """Draw which share of the conversions followed their click within a delay, of the oldest and of the last relabelled day."""
    title = "Label completeness"
    known = {day: found for day, found in sorted(((relabelled or {}).get("days") or {}).items()) if found["completeness"]}
    if not known:
        return Figure(title, missing="No earlier day with a conversion was labelled again.")
    ends = dict.fromkeys([next(iter(known)), list(known)[-1]])
    roles = ("challenger", "champion")
    lines = [Series(day, role, _curve(known[day]["completeness"])) for day, role in zip(ends, roles, strict=False)]
    places = [point.x for line in lines for point in line.points]
    ticks = [(math.log10(seconds), text) for seconds, text in _TICKS if min(places) <= math.log10(seconds) <= max(places)]
    x = Axis("delay from click to conversion, log scale", min(places) - 0.1, max(places) + 0.1, ticks)
    words = f"Share of the conversions known at the end of the day within each delay, for the days {' and '.join(ends)}."
    return Figure(title, line_chart(title, words, lines, x=x, y=nice_axis("share of conversions", 0, 1)))


def completeness_table(relabelled: Record | None) -> dict[str, Any] | None:
    """Return the delays and a row for each relabelled day: conversions now known, and the share of them within each delay."""
    known = (relabelled or {}).get("days") or {}
    if not known:
        return None
    rows = []
    for day, found in sorted(known.items()):
        within = {each["delay_s"]: each["share"] for each in found["completeness"]}
        shares = [f"{within[delay]:.1%}" if delay in within else "" for delay, _ in _DELAYS]
        rows.append((day, found["clicks"], found["conversions"], share(found["conversions"], found["clicks"], "clicks"), shares))
    return {"delays": [text for _, text in _DELAYS], "rows": rows}


def _drift(name: str, title: str, days: Sequence[tuple[date, Mapping[str, Record]]]) -> Figure:
    found = [dict(_read_drift(records, f"_{name}_7d")) for _, records in days]
    columns = {column for values in found for column in values}
    if not columns:
        return Figure(title, missing="No day was compared with earlier ones yet.")
    worst = {column: max(values[column][0] for values in found if column in values) for column in columns}
    shown = sorted(columns, key=lambda column: (-worst[column], column))[:_ROWS]
    limit = next(values[shown[0]][1] for values in reversed(found) if shown[0] in values)
    rows = [(column, [values[column][0] if column in values else None for values in found]) for column in shown]
    left = len(columns) - len(shown)
    words = f"{shown[0]} drifted most, up to {worst[shown[0]]:.3g}; crossed squares are above {limit:g}, where a warning begins."
    others = f" {left} columns that drifted less are not shown." if left else ""
    return Figure(
        title, heat_grid(title, words + others, rows, columns=[f"{day:%m-%d}" for day, _ in days], limit=limit), note=words + others
    )


def _read_drift(records: Mapping[str, Record], ending: str) -> Iterator[tuple[str, tuple[float, float]]]:
    """Give each compared column of a day with its value and the limit of its warning."""
    for step in ("validate", "validate-features", "validate-predictions"):
        for table, found in (records.get(step, {}).get("profile") or {"tables": {}})["tables"].items():
            limits = {measure: high for measure, _, high, severity, _ in found.get("bands", ()) if severity == "warning"}
            for measure, value in found["measures"].items():
                if measure.endswith(ending) and measure in limits:
                    column = measure.removesuffix(ending)
                    yield column if table == "samples" else f"{column} ({table})" if len(column) < 8 else column, (value, limits[measure])


def _curve(completeness: Sequence[Record]) -> list[Point]:
    return [Point(math.log10(max(each["delay_s"], 1)), each["share"]) for each in completeness]
