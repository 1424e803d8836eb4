"""What a batch is: encoded samples, their labels and, where a position tower learns from them, their positions.

Letters: B samples of a batch (N of a chunk).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from components.errors import SettingsError
from components.model.columns import EXPOSED
from components.model.embedding import ByRow, touched
from components.model.encoding import Encoded, Ids, Layout
from components.model.losses import LOSSES, label_columns
from components.model.losses.loss import KNOWN_SHARE, Labels
from components.model.position import places
from components.model_settings import Model
from components.profile import Profile

_COUNTED = ("clicked", "converted")
_POSITION = "position"


@dataclass(frozen=True)
class Labelled:
    """Encoded samples with what they are trained towards."""

    samples: Encoded
    labels: Labels
    """float32, by column; NaN where a row has none."""
    places_B: Tensor | None
    """Where the network has a position tower."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.samples)

    def slice(self, first: int, last: int) -> "Labelled":
        """Return the samples [first, last), without copying."""
        labels = {name: values[first:last] for name, values in self.labels.items()}
        return Labelled(self.samples.slice(first, last), labels, None if self.places_B is None else self.places_B[first:last])


@dataclass(frozen=True)
class Batch:
    """Samples that are trained on at once, renumbered to index the rows of the table that they touch."""

    rows_U: Ids
    """The distinct rows, ascending."""
    labelled: Labelled
    by_row: ByRow

    @classmethod
    def of(cls, labelled: Labelled) -> "Batch":
        """Find the rows that samples touch."""
        found = touched(labelled.samples)
        return cls(found.rows_U, replace(labelled, samples=found.samples), found.by_row)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.labelled)


def label(samples: Encoded, chunk: pl.DataFrame, order_N: Ids, options: Model, generator: np.random.Generator) -> Labelled:
    """Return a chunk's samples, encoded in another order, with its labels and positions, of which the generator draws those to drop.

    In numpy, for it is done beside training: in another thread torch would compute on all cores.
    """
    labels = {name: torch.from_numpy(values.numpy()[order_N]) for name, values in labels_of(chunk, options).items()}
    return Labelled(samples, labels, _places(chunk, order_N, options, generator))


def labels_of(chunk: pl.DataFrame, options: Model) -> Mapping[str, Tensor]:
    """Return a chunk's labels, by column: those that are always counted, and those that the loss and the heads learn from."""
    columns = dict.fromkeys([*_COUNTED, *label_columns(options)])
    return {name: torch.from_numpy(chunk[name].cast(pl.Float32).to_numpy(writable=True)) for name in columns}


def optional_labels(options: Model) -> set[str]:
    """Return the columns in which NaN stands for no label: those that only regressions learn from."""
    return {head.column for head in options.regressions} - {*_COUNTED, *LOSSES[options.loss].labels, KNOWN_SHARE}


def _places(chunk: pl.DataFrame, order_N: Ids, options: Model, generator: np.random.Generator) -> Tensor | None:
    if not options.position_tower:
        return None
    known = places(chunk[_POSITION], options.position_buckets)
    return torch.from_numpy(np.where(generator.random(len(known)) < options.position_dropout, 0, known)[order_N])


def columns_to_train(rows: pl.LazyFrame, layout: Layout, profile: Profile, options: Model) -> list[str]:
    """Return the columns that training reads, each once; raises SettingsError for a choice whose column the samples do not have."""
    schema = rows.collect_schema()
    for head in options.regressions:
        if head.column not in schema or not schema[head.column].is_numeric():
            numbers = ", ".join(name for name, dtype in schema.items() if dtype.is_numeric())
            raise SettingsError(
                f"model.regressions {head.name}: expected a column of numbers, found that {head.column} is none; name one of {numbers}"
            )
    if "acted" in label_columns(options) and profile.actions is None:
        raise SettingsError(f"model.loss {options.loss}: expected a profile with [actions], found none; add them or choose another loss")
    if options.age_corrected and KNOWN_SHARE not in schema:
        raise SettingsError(f"model.age_corrected: expected samples with {KNOWN_SHARE}, found none; add `Delays.known_share` to them")
    if layout.exact and EXPOSED not in schema:
        raise SettingsError(f"exact ids: expected samples with {EXPOSED}, an impression's instant, found none; add it, or hash the ids")
    if options.position_tower and _POSITION not in profile.impressions.columns:
        raise SettingsError(
            "model.position_tower: expected a profile whose impressions have a position, found none; map it in [impressions.columns]"
        )
    positions = [_POSITION] if options.position_tower else []
    instants = [EXPOSED] if layout.exact else []
    return list(dict.fromkeys([*_COUNTED, *label_columns(options), *positions, *instants, *layout.columns]))
