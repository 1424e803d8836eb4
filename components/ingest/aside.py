"""Rows kept aside for the quarantine while a day is read, in a scratch folder, so that memory holds one chunk's."""

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from components.ingest.columns import REASON
from components.ingest.duplicates import POSITION
from components.tables import Schema

_QUARANTINE: Schema = {POSITION: pl.Int64(), "file": pl.String(), "row": pl.Int64(), REASON: pl.String(), "raw": pl.String()}


@dataclass
class Aside:
    """The quarantine of one day of one kind, under `folder`. Rows are POSITION, file, row, reason, raw."""

    folder: Path
    _parts: dict[str, list[Path]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the folder, and a part without rows, so that a quarantine without rows can be scanned too."""
        self.folder.mkdir(parents=True)
        self._add("unreadable", pl.DataFrame(schema=_QUARANTINE))

    def add_unreadable(self, rows: pl.DataFrame) -> None:
        """Keep rows that are no events; to be added in the order of positions."""
        self._add("unreadable", rows)

    def add_conflicting(self, rows: pl.DataFrame) -> None:
        """Keep conflicting duplicates; to be added in the order of positions."""
        self._add("conflicting", rows)

    def rows(self) -> pl.LazyFrame:
        """Read the rows, by file, then row."""
        ways = [pl.scan_parquet(paths, glob=False) for paths in self._parts.values()]
        rows = ways[0] if len(ways) == 1 else ways[0].merge_sorted(ways[1], key=POSITION)
        return rows.drop(POSITION)

    def _add(self, name: str, rows: pl.DataFrame) -> None:
        parts = self._parts.setdefault(name, [])
        parts.append(self.folder / f"{name}-{len(parts):06}.parquet")
        rows.select(list(_QUARANTINE)).write_parquet(parts[-1], compression="lz4", statistics=False)
