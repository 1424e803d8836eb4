"""The gate: whether each measure is within its band. Great Expectations draws the same verdict from the same bands (`batches`)."""

from collections.abc import Iterator, Sequence

from components.validate.bands import Band
from components.validate.failures import Failure, show, show_range
from components.validate.measures import AS_DECLARED, Measures

RATES = ("ctr", "cvr")
"""Measures that are undefined, and so in no band, without rows or clicks."""
SCHEMA = "expect_column_values_to_be_in_set"
BETWEEN = "expect_column_values_to_be_between"
NOT_NULL = "expect_column_values_to_not_be_null"


def judge(table: str, bands: Sequence[Band], measures: Measures) -> Iterator[Failure]:
    """Give what the measures of a table did not meet, in the order of the bands."""
    if measures["schema"] != AS_DECLARED:
        yield Failure("critical", table, SCHEMA, "schema", expected=AS_DECLARED, found=measures["schema"])
    for band in bands:
        value = measures[band.measure]
        if value is None:
            yield Failure(band.severity, table, NOT_NULL, band.measure, expected="no null", found="null")
        elif not is_within(value, band):
            expected = show_range(band.low, band.high)
            yield Failure(band.severity, table, BETWEEN, band.measure, expected=expected, found=show(value))


def is_within(value: float, band: Band) -> bool:
    """Tell whether a value is in the band, ends included; NaN is in none."""
    above = band.low is None or value >= band.low
    return above and (band.high is None or value <= band.high)
