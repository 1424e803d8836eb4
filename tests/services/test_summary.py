"""The days' table, drawn from literal records."""

import io
import re
from datetime import date

from rich.console import Console

from components.records import Records
from components.services.summary import auc_text, print_summary
from components.settings import Settings

FIRST, SECOND = date(2024, 5, 1), date(2024, 5, 2)


def auc(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "positives": 200, "negatives": 900}


def shown(settings: Settings) -> list[str]:
    screen = io.StringIO()
    print_summary(settings, FIRST, SECOND, console=Console(file=screen, width=140))
    return screen.getvalue().splitlines()


def cells(lines: list[str], title: str, day: date) -> list[str]:
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    row = next(line for line in lines[start:] if str(day) in line)
    return [cell.strip() for cell in re.split(r"\s+(?!\()", row.strip())]


def test_rows_are_summed_over_kinds_and_metrics_and_seconds_shown_per_day(tmp_path, monkeypatch):
    monkeypatch.delenv("ESMM_HOME", raising=False)
    records = Records(tmp_path)
    for kind, rows in (("impressions", 1200), ("clicks", 40)):
        counts = {"rows_in": rows, "accepted": rows - 6, "exact_duplicates": 2, "conflicting_duplicates": 1, "quarantined": 3}
        records.write(FIRST, f"ingest-{kind}", {**counts, "seconds": 1.25})
    records.write(FIRST, "label", {"samples": 1194, "clicks": 34, "conversions": 7, "seconds": 0.5})
    models = {"champion": None, "challenger": {"cvr_auc": auc(0.71), "ctcvr_auc": {"value": None, "reason": "too few"}}}
    records.write(FIRST, "evaluate", {"models": models, "seconds": 2})
    records.write(FIRST, "promote", {"verdict": "insufficient", "reason": "7 conversions, fewer than 100", "seconds": 1})
    records.write(SECOND, "label", {"samples": 10, "clicks": 1, "conversions": 0, "seconds": 0.5})
    records.write(date(2024, 5, 3), "label", {"samples": 99})
    lines = shown(Settings(home=tmp_path))
    assert cells(lines, "Logs and samples", FIRST) == ["2024-05-01", "1,240", "1,228", "6", "6", "1,194", "34", "7"]
    assert cells(lines, "On the holdout", FIRST) == ["2024-05-01", "-", "0.710 (0.690-0.730)", "-", "undefined", "insufficient"]
    assert cells(lines, "Seconds per step", FIRST) == ["2024-05-01", "2.5", "0.5", "0.0", "0.0", "0.0", "0.0", "0.0", "2.0", "1.0", "6.0"]
    assert "2024-05-01 insufficient: 7 conversions, fewer than 100" in lines
    assert cells(lines, "Logs and samples", SECOND)[5:] == ["10", "1", "0"]
    assert not any("2024-05-03" in line for line in lines)


def test_an_auc_is_never_made_up():
    assert auc_text(None, "cvr_auc") == "-"
    assert auc_text({"cvr_auc": None}, "cvr_auc") == "undefined"
    assert auc_text({"cvr_auc": auc(0.5)}, "cvr_auc") == "0.500 (0.480-0.520)"
