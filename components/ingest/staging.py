"""Typed and quarantined rows of the day being read, as Parquet parts in a scratch folder, so that memory holds one chunk."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from components.ingest.columns import REASON, Target
from components.ingest.duplicates import FINGERPRINT, POSITION
from components.tables import Schema

_ROWS: Schema = {POSITION: pl.UInt64(), FINGERPRINT: pl.UInt64()}
_QUARANTINE: Schema = {"file": pl.String(), "row": pl.Int64(), REASON: pl.String(), "raw": pl.String()}


@dataclass(frozen=True)
class Staging:
    """The parts of one day of one kind, under `folder`."""

    folder: Path
    target: Target

    def open(self) -> None:
        """Make the folders, each with one part without rows, so that a day without rows can be scanned too."""
        for name, schema in (("typed", {**self.target.schema, **_ROWS}), ("quarantine", _QUARANTINE)):
            (self.folder / name).mkdir(parents=True)
            self._add(name, pl.DataFrame(schema=schema))

    def add_typed(self, rows: pl.DataFrame) -> None:
        """Keep rows that are events: the target's columns, POSITION and FINGERPRINT."""
        self._add("typed", rows)

    def add_quarantined(self, file: str, rows: pl.DataFrame) -> None:
        """Keep rows that are none: row, reason, raw."""
        self._add("quarantine", rows.select(pl.lit(file).alias("file"), "row", REASON, "raw"))

    def typed(self) -> pl.LazyFrame:
        """Read the typed rows, in no promised order."""
        return pl.scan_parquet(self.folder / "typed" / "*.parquet", glob=True)

    def quarantined(self) -> pl.LazyFrame:
        """Read the quarantined rows, by file, then row."""
        return pl.scan_parquet(self.folder / "quarantine" / "*.parquet", glob=True).sort("file", "row")

    def _add(self, name: str, rows: pl.DataFrame) -> None:
        number = len(list((self.folder / name).iterdir()))
        rows.write_parquet(self.folder / name / f"{number:06}.parquet", compression="lz4", statistics=False)
