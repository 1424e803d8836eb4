"""One size of the data benchmark: writes its logs, runs the day before, then times the steps of the day and their peers in turn."""

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from components import steps
from components.lake import Lake
from components.settings import Settings, load_settings
from components.tables import IMPRESSIONS, SAMPLES
from tests.benchmarks import data_peers as peers
from tests.benchmarks.data_logs import rewrite, write_logs
from tests.benchmarks.data_process import Cost, in_fresh_process

EVE, DAY = date(2024, 5, 1), date(2024, 5, 2)
SEED = 20240502
TEXTS = ("csv.gz", "ndjson.gz")
AFTER_INGEST = ("label", "validate", "relabel", "aggregate")
_ROOMS = {"relabel": "label"}
Work = Callable[[], Any]
log = logging.getLogger("bench")


@dataclass
class Measured:
    """What one size cost."""

    impressions: int
    rounds: int
    costs: dict[str, list[Cost]] = field(default_factory=lambda: defaultdict(list))
    """Name of the work -> one cost a round."""
    bytes_per_row: dict[str, float] = field(default_factory=dict)
    differences: int | None = None
    """Samples that differ from DuckDB's."""

    def add(self, name: str, cost: Cost) -> None:
        """Keep and show the cost of one round."""
        self.costs[name].append(cost)
        measured = (self.impressions, name, cost.seconds, cost.cpu_s, cost.peak_bytes >> 20)
        log.warning("%d impressions, %s: %.2f s, %.2f s of CPU, %d MiB", *measured)

    def median(self, what: str, name: str) -> float:
        """Return the median of `seconds`, `cpu_s` or `imports_s` over the rounds."""
        return median(float(getattr(cost, what)) for cost in self.costs[name])

    def peak_mib(self, name: str) -> float:
        """Return the highest of the rounds."""
        return max(cost.peak_bytes for cost in self.costs[name]) / 2**20

    def fingerprints(self, *names: str) -> int:
        """Return the number of different fingerprints that the named work recorded."""
        return len({cost.result["fingerprint"] for name in names for cost in self.costs[name]})


@dataclass(frozen=True)
class Bench:
    """One size's folder and what is measured in it."""

    folder: Path
    impressions: int
    rounds: int
    forms: tuple[str, ...]
    """Further forms of the raw impressions to ingest."""
    with_duckdb: bool

    def settings(self, form: str = "parquet") -> Settings:
        """Give each form of the raw files a home of its own."""
        os.environ.update({"ESMM_HOME": f"{self.folder}/{form}", "ESMM_DATA__PROFILE": f"{self.folder}/parquet/raw/profile.toml"})
        return load_settings()

    def raw(self, form: str = "parquet", day: date = DAY) -> Path:
        """Return the folder of a day's raw impressions."""
        return self.folder / form / "raw" / "impressions" / f"day={day}"

    def measure(self) -> Measured:
        """Write the logs, run what comes before, and time all rounds."""
        in_fresh_process(partial(write_logs, self.folder / "parquet" / "raw", days=[EVE, DAY], impressions=self.impressions, seed=SEED))
        for form in self.forms:
            in_fresh_process(partial(rewrite, self.raw(), self.raw(form), form))
        measured, settings = Measured(self.impressions, self.rounds), self.settings()
        for day in (EVE, DAY):
            for kind in settings.profile.kinds:
                in_fresh_process(partial(steps.ingest_kind, day, kind, settings))
        for step in AFTER_INGEST:
            in_fresh_process(partial(getattr(steps, step), EVE, settings))
        for _ in range(self.rounds):
            for name, work, room in self._turn(settings):
                measured.add(name, in_fresh_process(work, room=room))
        lake = Lake(settings.lake_uri, settings.profile)
        if self.with_duckdb:
            compare = partial(peers.count_differences, lake, DAY, self.folder / "ordered.parquet")
            measured.differences = in_fresh_process(compare).result
        for table in (IMPRESSIONS, SAMPLES):
            size = sum(file.stat().st_size for file in peers.live_files(lake, table, DAY))
            measured.bytes_per_row[table.name] = size / self.impressions
        return measured

    def _turn(self, settings: Settings) -> Iterator[tuple[str, Work, str]]:
        """Yield the name, work and room of one round, each step followed by its peers."""
        lake, copy = Lake(settings.lake_uri, settings.profile), self.folder / "copy.parquet"
        for form in ("parquet", *self.forms):
            yield f"ingest {form}", partial(ingest, self.settings(form)), "components.ingest"
            read = peers.copy_text if form in TEXTS else peers.copy_parquet
            yield f"copy {form}", partial(read, sorted(self.raw(form).iterdir()), copy, peers.live_files(lake, IMPRESSIONS, DAY)[0]), ""
        yield "label", partial(steps.label, DAY, settings), "components.label"
        files = peers.live_files(lake, IMPRESSIONS, DAY)
        yield "copy impressions", partial(peers.copy_parquet, files, copy, files[0]), ""
        for order in ("ordered", "unordered") if self.with_duckdb else ():
            target = self.folder / f"{order}.parquet"
            yield f"duckdb {order}", partial(peers.label_in_duckdb, lake, DAY, target, settings.labels, ordered=order == "ordered"), ""
        for step in AFTER_INGEST[1:]:
            yield step, partial(getattr(steps, step), DAY, settings), f"components.{_ROOMS.get(step, step)}"


def ingest(settings: Settings) -> dict[str, str]:
    """Ingest the day's impressions; return the fingerprint of their table."""
    steps.ingest_kind(DAY, "impressions", settings)
    return {"fingerprint": Lake(settings.lake_uri, settings.profile).fingerprint(IMPRESSIONS, DAY)}
