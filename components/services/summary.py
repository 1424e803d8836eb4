"""The days' table that the demo and `esmm run` end with, drawn from what the steps recorded."""

from datetime import date, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from components.records import Record, Records
from components.settings import Settings

STEPS = ("ingest", "label", "validate", "relabel", "aggregate", "publish", "train", "evaluate", "promote")
_DAY = timedelta(days=1)
_PIPED_WIDTH = 140
_KINDS = "ingest-"


def print_summary(settings: Settings, first: date, last: date, *, console: Console | None = None) -> None:
    """Print rows and samples, AUCs with their intervals and verdicts, and seconds per step, a line per day from `first` through `last`."""
    screen = console or output_console()
    records = Records(settings.root)
    days = {day: records.read_day(day) for day in records.days() if first <= day <= last}
    for table in (_rows(days), _metrics(days), _seconds(days)):
        screen.print(table, "")
    for day, steps in days.items():
        if reason := steps.get("promote", {}).get("reason"):
            screen.print(f"{day} {steps['promote']['verdict']}: {reason}", highlight=False)


def output_console() -> Console:
    """Return a console on stdout, of one width where stdout is not a terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPED_WIDTH)


def _rows(days: dict[date, dict[str, Record]]) -> Table:
    table = _table("Logs and samples", "day", "rows in", "accepted", "duplicates", "quarantined", "samples", "clicks", "conversions")
    for day, steps in days.items():
        kinds = [record for step, record in steps.items() if step.startswith(_KINDS)]
        duplicates = _total(kinds, "exact_duplicates", "conflicting_duplicates")
        logs = (_total(kinds, "rows_in"), _total(kinds, "accepted"), duplicates, _total(kinds, "quarantined"))
        label = steps.get("label", {})
        table.add_row(str(day), *map(_count, (*logs, *(label.get(name) for name in ("samples", "clicks", "conversions")))))
    return table


def _metrics(days: dict[date, dict[str, Record]]) -> Table:
    columns = [f"{task} AUC {role}" for task in ("CVR", "CTCVR") for role in ("champion", "challenger")]
    table = _table("On the holdout (CVR on clicked impressions, CTCVR on all)", "day", *columns, "verdict")
    for day, steps in days.items():
        models = steps.get("evaluate", {}).get("models", {})
        aucs = [auc_text(models.get(role), f"{task}_auc") for task in ("cvr", "ctcvr") for role in ("champion", "challenger")]
        table.add_row(str(day), *aucs, steps.get("promote", {}).get("verdict", ""))
    return table


def _seconds(days: dict[date, dict[str, Record]]) -> Table:
    table = _table("Seconds per step", "day", *STEPS, "sum")
    for day, steps in days.items():
        spent = [_total([record for name, record in steps.items() if name.split("-", maxsplit=1)[0] == step], "seconds") for step in STEPS]
        table.add_row(str(day), *(f"{seconds:.1f}" for seconds in (*spent, sum(spent))))
    return table


def auc_text(model: dict[str, Any] | None, name: str) -> str:
    """Write an AUC with its interval; `undefined` where the rows gave none, a dash where there was no such model."""
    if not model:
        return "-"
    auc = model.get(name) or {}
    if auc.get("value") is None:
        return "undefined"
    return f"{auc['value']:.3f} ({auc['low']:.3f}-{auc['high']:.3f})"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False)  # fits 80 columns
    for column in columns:
        named = column in {"day", "verdict"}
        table.add_column(column, justify="left" if named else "right", no_wrap=named)
    return table


def _total(records: list[Record], *names: str) -> float:
    return sum(float(record.get(name, 0)) for record in records for name in names)


def _count(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"
