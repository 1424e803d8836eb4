"""The boundaries that a cold start learns: a checkpoint keeps them, its children and whoever scores with it take them over."""

import polars as pl

from components.errors import DataError
from components.model.bucketing import learn_boundaries
from components.model.columns import check_columns
from components.model.encoding import Layout


def learn_layout(layout: Layout, samples: pl.DataFrame) -> Layout:
    """Return the layout with boundaries between equal shares of these samples, for the numbers that declare none.

    The order of the samples does not matter. Raises DataError where a number is missing in all of them: what is learned here stays.
    """
    check_columns(samples, layout)
    learned = {}
    for field in (field for field in layout.fields if field.learned):
        numbers = samples[field.source].cast(pl.Float64)
        if not numbers.is_finite().any():
            raise DataError(
                f"field {field.name}: expected numbers in {field.source} to learn boundaries from, found none in the first "
                f'{samples.height} samples; declare boundaries in the profile, or bucketing = "log"'
            )
        learned[field.name] = learn_boundaries(numbers, layout.vocabularies[field.vocabulary] - 1)
    return layout.with_boundaries(learned)
