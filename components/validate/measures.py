"""The exact profile of one table of a day, streamed by Polars in one pass; its histograms, and its deterministic row sample.

Exact, so it is what the gate looks at; the rows are examples for the reader of the Data Docs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from components.validate.drift import Histogram, count_labels, to_histograms
from components.validate.subjects import Subject

AS_DECLARED = "as declared"
_GOLDEN = 11_400_714_819_323_198_485  # 2^64 / golden ratio: multiples of it, modulo 2^64, fill the range evenly (Knuth, 6.4)
_EXAMPLES = 20
Measures = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """What was found in a table."""

    measures: Measures
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    rows: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def readable(self) -> bool:
        """Whether the table has its declared columns; without them only its rows are counted."""
        return bool(self.measures["schema"] == AS_DECLARED)


def measure(frame: pl.LazyFrame, subject: Subject, *, sample_rows: int) -> Measured:
    """Measure a table of a day; the answer does not depend on the order of its rows.

    Keeps in memory the distinct keys, the distinct values of the drifting columns, and the sample.
    """
    found = describe_schema(frame.collect_schema(), subject)
    if found != AS_DECLARED:
        return Measured({"schema": found, "num_rows": frame.select(pl.len()).collect(engine="streaming").item()})
    passes = (frame.select(**_counts(subject)), count_labels(frame, subject.drifting), *_samples(frame, subject, sample_rows))
    counts, labels, rows, examples = (query.collect(engine="streaming") for query in passes)  # collect_all: no faster, a third more memory
    measures = {"schema": found, **_rates(counts.row(0, named=True), subject)}
    repeated = [_repeated(frame, subject)] if measures["num_repeated_keys"] else []
    shown = rows
    for more in [examples, *repeated]:
        shown = pl.concat([shown, more.join(shown, on=subject.key, how="anti", nulls_equal=True)])
    return Measured(measures, to_histograms(labels), shown.sort(subject.instant, subject.key, *subject.schema))


def describe_schema(found: Mapping[str, Any], subject: Subject) -> str:
    """Return "as declared", or every column that is missing, has another type or is unknown, in one line."""
    wrong = [f"{name} is {found.get(name, 'missing')}, not {dtype}" for name, dtype in subject.schema.items() if found.get(name) != dtype]
    unknown = [f"{name} is unknown" for name in found if name not in subject.schema and name != subject.partition]
    return "; ".join(wrong + unknown) or AS_DECLARED


def _counts(subject: Subject) -> Mapping[str, pl.Expr]:
    key = pl.col(subject.key)
    nulls = {f"{name}_null_share": pl.col(name).null_count() for name in subject.required}
    defects = {name: condition.sum() for name, condition in subject.defects.items()}
    counts = {"num_rows": pl.len(), "num_repeated_keys": key.count() - key.drop_nulls().n_unique(), **nulls, **defects}
    if subject.name != "samples":
        return counts
    clicked, converted = pl.col("clicked"), pl.col("converted")
    outcomes = {"num_clicks": clicked.sum(), "num_conversions": (clicked & converted).sum(), "num_labels": clicked.count()}
    return {**counts, "num_cut_offs": pl.col("labelled_through").n_unique(), **outcomes}


def _rates(counts: Measures, subject: Subject) -> Measures:
    """Turn null counts into shares (of no rows: 0) and add the samples' CTR and CVR; a rate of nothing is None."""
    shares = {name: counts[name] / max(counts["num_rows"], 1) for name in counts if name.endswith("_null_share")}
    if subject.name != "samples":
        return {**counts, **shares}
    clicks, conversions, labels = counts["num_clicks"], counts["num_conversions"], counts["num_labels"]
    return {**counts, **shares, "ctr": clicks / labels if labels else None, "cvr": conversions / clicks if clicks else None}


def _samples(frame: pl.LazyFrame, subject: Subject, rows: int) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Return `rows` rows spread evenly over the day, and the first rows that have a defect; both by value, never by position.

    Rows are ranked by their instant (us) times the golden ratio modulo 1, which needs neither a hash nor a sort of the day.
    """
    columns = [pl.col(name) for name in subject.schema]
    spread = pl.col(subject.instant).to_physical().fill_null(0).reinterpret(signed=False) * pl.lit(_GOLDEN, pl.UInt64)
    missing = [pl.col(name).is_null() for name in subject.required]
    defective = frame.filter(pl.any_horizontal(*missing, *subject.defects.values()))
    return (
        frame.select(columns).bottom_k(rows, by=[spread, subject.key]),
        defective.select(columns).bottom_k(_EXAMPLES, by=[subject.instant, subject.key]),
    )


def _repeated(frame: pl.LazyFrame, subject: Subject) -> pl.DataFrame:
    """Return the rows of the first keys that repeat: a second pass, for a day that has any."""
    keys = frame.select(subject.key).drop_nulls().group_by(subject.key).len().filter(pl.col("len") > 1).bottom_k(_EXAMPLES, by=subject.key)
    rows = frame.select(list(subject.schema)).join(keys, on=subject.key, how="semi")
    return rows.collect(engine="streaming")
