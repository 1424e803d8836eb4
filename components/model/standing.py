"""What a model knows of the ids in its samples: whether they have a row of their own, and since when."""

import numpy as np
import polars as pl

from components.checkpoints import Checkpoint
from components.model.encoding import Layout
from components.model.hashing import hash_distinct
from components.model.identity import known_ids
from components.model.restore import as_trained
from components.model.stream import read_chunks
from components.profile import Profile

STANDINGS = ("unknown", "old", "new", "missing")
"""An id without a row; one that the model's parent knew; one that was admitted since; no id."""
_CHUNK_ROWS = 65_536


def standings(rows: pl.LazyFrame, checkpoint: Checkpoint, *, profile: Profile) -> pl.DataFrame:
    """Return impression_id and, for each exact id field (not lists, not crosses), FIELD_standing: one of STANDINGS; in the rows' order."""
    layout, known = as_trained(Layout.of(profile), checkpoint.manifest), known_ids(checkpoint.model)
    first_chunk: int = checkpoint.manifest.get("first_chunk", 0)
    fields = [field for field in layout.singles if field.kind == "id" and layout.named[field.vocabulary].exact]

    def standing(chunk: pl.DataFrame) -> pl.DataFrame:
        columns = [pl.col("impression_id").cast(pl.String)]
        for field in fields:
            ids = hash_distinct(chunk[field.source], table=layout.origin(field.vocabulary).name)
            admitted_D = known[field.vocabulary].find(ids.hashes_D, "admitted_in")
            places_D = np.where(admitted_D < 0, 0, np.where(admitted_D < first_chunk, 1, 2))
            told_N = np.array(STANDINGS)[ids.spread(places_D, len(STANDINGS) - 1)]
            columns.append(pl.lit(pl.Series(f"{field.name}_standing", told_N)))
        return chunk.select(columns)

    empty = pl.DataFrame(schema={"impression_id": pl.String, **{f"{field.name}_standing": pl.String for field in fields}})
    sources = dict.fromkeys(["impression_id", *(field.source for field in fields)])
    chunks = read_chunks(rows.select(*sources), _CHUNK_ROWS) if fields else iter(())
    return pl.concat([empty, *map(standing, chunks)])
