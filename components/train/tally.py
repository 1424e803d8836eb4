"""What a call of `fine_tune` has seen: counts and losses, for the manifest and for error messages."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch

from components.checkpoints import Checkpoint
from components.errors import TrainingDivergedError
from components.model.sampling import NEGATIVE_RATE
from components.settings import Settings
from components.train.faults import Fault


@dataclass
class Tally:
    """Counts of this call, but `steps` and `chunks` since the cold start: Adam and the shuffles go on from the parent's."""

    steps: int = 0
    chunks: int = 0
    rows: int = 0
    clicks: int = 0
    conversions: int = 0
    batches: int = 0
    read: range = range(0)
    """Which rows of the day, in time order, are being trained on: those of a chunk, before sampling."""
    losses: Counter[str] = field(default_factory=Counter)
    """Sums over rows, by term."""

    @classmethod
    def after(cls, parent: Checkpoint | None) -> "Tally":
        """Go on from a parent's manifest."""
        return cls(parent.manifest["steps"], parent.manifest["chunks"]) if parent else cls()

    def add_batch(self, rows: int, losses: dict[str, float]) -> None:
        """Count a batch."""
        self.rows += rows
        self.batches += 1
        self.steps += 1
        self.losses.update({name: loss * rows for name, loss in losses.items()})

    def add_chunk(self, clicks: int, conversions: int) -> None:
        """Count a chunk whose batches are done."""
        self.clicks += clicks
        self.conversions += conversions
        self.chunks += 1

    def diverged(self, fault: Fault, *, batches_ahead: int = 1) -> TrainingDivergedError:
        """Return the error to raise for a fault of the chunk being trained on, so many batches after those that are counted."""
        return TrainingDivergedError(
            f"train: batch {self.batches + batches_ahead} (rows {self.read.start} to {self.read.stop}, shuffled), {fault.where}: expected "
            f"finite numbers, found that {fault.what} is NaN or infinite; nothing was saved; {fault.repair}"
        )

    def manifest(self, parent: Checkpoint | None, settings: Settings) -> dict[str, Any]:
        """Return the counts and their origin, JSON-able."""
        return {
            **{name: getattr(self, name) for name in ("rows", "clicks", "conversions", "steps", "chunks")},
            "losses": {name: total / self.rows for name, total in sorted(self.losses.items())},
            "base_rates": {"ctr": self.clicks / self.rows, "cvr": self.conversions / self.clicks if self.clicks else None},
            "parent": parent.version if parent else None,
            "first_chunk": parent.manifest["chunks"] if parent else 0,
            "settings": settings.fingerprint,
            "seed": settings.train.seed,
            NEGATIVE_RATE: settings.train.negative_rate,
            "threads": settings.train.threads,
            "precision": settings.train.precision,
            "torch": torch.__version__,
        }
