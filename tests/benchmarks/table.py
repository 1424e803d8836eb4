"""How every benchmark reports: a table on stdout and `<ESMM_HOME>/bench/<name>.json`."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components.records import write_text

Row = dict[str, Any]


def row(name: str, value: float, unit: str, against: str, *, goal: float | None = None) -> Row:
    """Return one result; a goal is met at or below it."""
    return {"name": name, "value": value, "unit": unit, "goal": goal, "met": None if goal is None else value <= goal, "against": against}


def report(home: Path, name: str, results: list[Row]) -> None:
    """Write and print the results."""
    write_text(home / "bench" / f"{name}.json", json.dumps(results, indent=1))
    table = Table("name", "value", "unit", "goal", "met", "against")
    for result in results:
        goal, met = result["goal"], {True: "yes", False: "NO", None: ""}[result["met"]]
        table.add_row(result["name"], f"{result['value']:.4g}", result["unit"], "" if goal is None else f"{goal:g}", met, result["against"])
    Console(width=150).print(table)
