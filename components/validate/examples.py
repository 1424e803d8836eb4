"""Rows of a failing table that a reader of the Data Docs can look at: some spread over the day, those with a defect, repeated keys."""

import polars as pl

from components.validate.keys import hash_columns
from components.validate.passes import spread
from components.validate.subjects import Subject

_EXAMPLES = 20


def draw_examples(frame: pl.LazyFrame, subject: Subject, rows: int) -> pl.DataFrame:
    """Return `rows` rows spread evenly over the table, the first that have a defect and those of the first repeated keys.

    frame: as declared. By value, never by position: the same rows for any order of the frame.
    """
    columns = [pl.col(name) for name in subject.schema]
    order = [name for name in (subject.instant, *subject.key) if name in subject.schema]
    missing = [pl.col(name).is_null() for name in subject.required]
    defective = frame.filter(pl.any_horizontal(*missing, *subject.defects.values()))
    spoiled = defective.select(columns).bottom_k(_EXAMPLES, by=order)
    chosen = [frame.select(columns).bottom_k(rows, by=[spread(subject), *order]), spoiled, _repeated(frame, subject).select(columns)]
    # Lists, which features may hold, are shown as text: no index or set can hold them.
    shown = pl.concat(query.collect(engine="streaming") for query in chosen).with_columns(_as_text(subject)).unique()
    return shown.sort(*order, *subject.schema)


def _repeated(frame: pl.LazyFrame, subject: Subject) -> pl.LazyFrame:
    hashed = frame.with_columns(_hash=hash_columns(subject.key))
    repeated = (
        hashed.filter(pl.col("_hash").is_not_null()).group_by("_hash").len().filter(pl.col("len") > 1).bottom_k(_EXAMPLES, by="_hash")
    )
    return hashed.join(repeated, on="_hash", how="semi")


def _as_text(subject: Subject) -> list[pl.Expr]:
    lists = [name for name, dtype in subject.schema.items() if dtype == pl.List]
    return [pl.col(name).list.eval(pl.element().cast(pl.String)).list.join(" ") for name in lists]
