"""The suites in code: per table one over its profile (a frame of one row, exact, the gate) and one over its row sample (examples)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd

from components.settings import Validation
from components.validate.bands import Band, draw_bands
from components.validate.defects import OUTCOMES
from components.validate.failures import show, show_range
from components.validate.measures import AS_DECLARED, Measured, Measures
from components.validate.subjects import Subject

_RATES = ("ctr", "cvr")


@dataclass(frozen=True)
class Batch:
    """A frame and the suite it must meet."""

    table: str
    suite: gx.ExpectationSuite
    frame: pd.DataFrame
    key: str
    """Column that names a row in the Data Docs; empty for a profile."""


def make_batches(subject: Subject, measured: Measured, *, options: Validation, not_run: list[str]) -> list[Batch]:
    """Return the batches of a table: its profile, and its sampled rows where it could be read.

    not_run: what of this table's profile was not looked at and why, shown beside the suite.
    """
    bands = draw_bands(subject, measured.measures, options)
    profile = pd.DataFrame([measured.measures])
    judged = gx.ExpectationSuite(subject.name, expectations=[*_judge(bands, measured.measures)], notes=not_run)
    batches = [Batch(subject.name, judged, profile, key="")]
    if measured.readable:
        shown = gx.ExpectationSuite(f"{subject.name}_rows", expectations=[*_exemplify(subject, options)])
        batches.append(Batch(subject.name, shown, measured.rows.to_pandas(), key=subject.key))
    return batches


def _judge(bands: list[Band], measures: Measures) -> Iterator[Any]:
    """Expect each measure to be within its band; a rate of nothing is within none, so it must also be there."""
    meaning = f"columns and types; measured: {measures['schema']}"
    yield gxe.ExpectColumnValuesToBeInSet(column="schema", value_set=[AS_DECLARED], severity="critical", description=meaning)
    for band in bands:
        value = measures[band.measure]
        told = {"column": band.measure, "severity": band.severity}
        text = f"{band.measure}: {band.meaning}; expected {show_range(band.low, band.high)}; measured {show(value)}"
        yield gxe.ExpectColumnValuesToBeBetween(**told, min_value=band.low, max_value=band.high, description=text)
        if band.measure in _RATES:
            yield gxe.ExpectColumnValuesToNotBeNull(**told, description=f"{band.measure} is defined; measured {show(value)}")


def _exemplify(subject: Subject, options: Validation) -> Iterator[Any]:
    """Expect of single rows what shows an example when the profile fails; warnings, as the profile decides."""
    yield gxe.ExpectTableRowCountToBeBetween(min_value=1, severity="warning")
    for name in subject.required:
        mostly = 1.0 if name == subject.key else 1 - options.max_null_share
        yield gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=mostly, severity="warning")
    yield gxe.ExpectColumnValuesToBeUnique(column=subject.key, severity="warning")
    yield gxe.ExpectColumnValuesToBeOfType(column="item_id", type_="str", severity="warning")
    for column, least in (("position", 0), ("amount", 0)):
        if column in subject.schema:
            yield gxe.ExpectColumnValuesToBeBetween(column=column, min_value=least, severity="warning")
    if subject.name == "samples":
        yield from _exemplify_labels()


def _exemplify_labels() -> Iterator[Any]:
    for flag in OUTCOMES:
        yield gxe.ExpectColumnValuesToBeInSet(column=flag, value_set=[True, False], severity="warning")
    ordered = [("clicked_at", "exposed_at"), ("acted_at", "clicked_at"), ("converted_at", "clicked_at"), ("matures_at", "exposed_at")]
    for later, earlier in ordered:
        yield gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=later, column_B=earlier, or_equal=True, ignore_row_if="either_value_is_missing", severity="warning"
        )
