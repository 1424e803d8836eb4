"""A failed expectation in words: where, what was expected, what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Severity = Literal["critical", "warning"]
_SHOWN = 3


@dataclass(frozen=True)
class Failure:
    """An expectation that the day did not meet."""

    severity: Severity
    table: str
    expectation: str
    column: str
    expected: str
    found: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.table}: {self.expectation}({self.column}) expected {self.expected}, found {self.found}"


def describe_failure(
    table: str, severity: Severity, expectation: str, *, arguments: Mapping[str, Any], result: Mapping[str, Any]
) -> Failure:
    """Turn what Great Expectations reports of a failed expectation into one line's worth of words."""
    pair = [arguments[name] for name in ("column_A", "column_B") if name in arguments]
    column = ", ".join(pair) or str(arguments.get("column", ""))
    return Failure(severity, table, expectation, column, _expected(expectation, arguments), _found(expectation, result))


def show(value: Any) -> str:
    """Write a measured value as a reader wants it: six digits, instants in ISO 8601, nothing as `null`."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"({', '.join(show(part) for part in value)})"
    return str(value)


def show_range(low: float | None, high: float | None) -> str:
    """Write a band, whose ends are included."""
    if low == high or high is None:
        return show(low) if low == high else f">= {show(low)}"
    return f"<= {show(high)}" if low is None else f"{show(low)}..{show(high)}"


def _expected(expectation: str, arguments: Mapping[str, Any]) -> str:
    if "column_A" in arguments:
        return f"{arguments['column_A']} >= {arguments['column_B']}"
    if "value_set" in arguments:
        return " or ".join(show(value) for value in arguments["value_set"])
    if "type_" in arguments:
        return str(arguments["type_"])
    if arguments.keys() & {"min_value", "max_value"}:
        return show_range(arguments.get("min_value"), arguments.get("max_value"))
    share = arguments.get("mostly", 1)
    words = "unique values" if expectation.endswith("unique") else "no null"
    return words if share == 1 else f"{words} in at least {share:.6g} of the rows"


def _found(expectation: str, result: Mapping[str, Any]) -> str:
    if "observed_value" in result:
        return show(result["observed_value"])
    values: Sequence[Any] = result.get("partial_unexpected_list") or [None]
    if result["element_count"] == 1:
        return show(values[0])
    if expectation.endswith("not_be_null"):
        return f"{result['unexpected_count']} null of {result['element_count']} sampled rows"
    examples = ", ".join(show(value) for value in values[:_SHOWN])
    return f"{result['unexpected_count']} of {result['element_count']} sampled rows, such as {examples}"
