"""Training's speed beside its peers' and beside what bounds it: `make bench-train`. All sides in turn, medians, one run on the same rows.

    python -m tests.benchmarks.train [--ids 4.2e6] [--growth 20e6] [--rounds 3] [--quick] [--no-peers] [--no-parity]

Every run of ours is a process of its own; the first chunk of rows warms up. A peer trains for a few steps, of which the first two are not
timed. Equal AUC is asked after one pass over fewer rows, which all can finish. More than an hour on two idle cores; `--growth 20e6,100e6`
needs 16 GB of memory. Prints a table and writes `<ESMM_HOME>/bench/train.{md,json}`.
"""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from components.records import write_text
from components.settings import altered, load_settings
from tests.benchmarks import train_ours as ours
from tests.benchmarks.data_process import Cost, in_fresh_process
from tests.benchmarks.train_page import Measured, markdown, results
from tests.benchmarks.train_peers import WARM_UP, WIDTH
from tests.benchmarks.train_rows import DAY, FIELDS, LISTS, SHAPES, Day, write_matrices
from tests.benchmarks.train_sizes import QUICK, Sizes

PEERS_PYTHON = Path(".peers/bin/python")
PEERS = ("rechub", "deepctr")
COMPILER = shutil.which("g++")
"""What torch.compile builds with."""
log = logging.getLogger("bench")


@dataclass
class Bench:
    """One run's folder, sizes and findings."""

    folder: Path
    sizes: Sizes
    peers: bool
    found: Measured = field(default_factory=lambda: Measured(defaultdict(list)))

    def measure(self) -> Measured:
        """Write the rows and measure everything."""
        self._write()
        for number in range(self.sizes.rounds):
            for shape in SHAPES:
                for batch in self.sizes.batches:
                    self._turn(shape, batch, alongside=batch == self.sizes.batches[0])
            self._grow()
            self._widen()
            self._keep("start", self._start())
            log.warning("round %d of %d is done", number + 1, self.sizes.rounds)
        for seconds in self._in_process(ours.auc_seconds, self.sizes.auc_rows, self.sizes.rounds).result:
            for side in ("ours", "theirs"):
                self._keep(f"auc {side}", seconds[side])
        if self.sizes.parity_rows:
            self._compare()
        return self.found

    @property
    def day(self) -> Day:
        """The day that all but growth and equal AUC are measured on."""
        return Day(self.folder / "day", self.sizes.ids, self.sizes.rows, lists=True)

    @property
    def parity(self) -> Day:
        """A day whose last rows are tested on."""
        return Day(self.folder / "parity", self.sizes.ids, self.sizes.parity_rows + self.sizes.test_rows)

    def _write(self) -> None:
        self._in_process(self.day.write)
        for ids in self.sizes.growth:
            self._in_process(self._grown(ids).write)
        if not self.peers:
            return
        timed = max(self.sizes.batches) * (WARM_UP + self.sizes.peer_steps)
        for shape in SHAPES:
            settings = self.day.settings(shape)
            write_matrices(self.folder / f"{shape}.npz", {"train": self.day.scan(settings, 0, timed)}, settings)

    def _grown(self, ids: int) -> Day:
        return Day(self.folder / f"ids-{ids}", ids, self.sizes.growth_rows)

    def _turn(self, shape: str, batch: int, *, alongside: bool) -> None:
        """Measure all sides once; alongside: reading and scoring too."""
        rows, chunk_rows = (
            (self.sizes.rows, self.sizes.chunk_rows) if shape == "fields" else (self.sizes.list_rows, self.sizes.list_chunk_rows)
        )
        for threads in self.sizes.threads:
            for precision in self.sizes.precisions:
                run = ours.Run(self.day, self.day.settings(shape), rows, batch, threads, chunk_rows, precision)
                for name, rate in self._in_process(ours.train, run, score=alongside).result.items():
                    self._keep(f"{shape} {batch} {threads} {precision} {name}", rate)
        if alongside:
            for name, rate in self._in_process(ours.read, run).result.items():
                self._keep(f"{shape} {name}", rate)
        for library in PEERS if self.peers else ():
            for form in ("readme", "tuned"):
                self._keep(f"{shape} {batch} {library} {form}", self._peer_rate(shape, batch, library, form))
        self._towers(shape, batch)

    def _towers(self, shape: str, batch: int) -> None:
        """Measure the dense towers alone, at the width of the shape's fields."""
        width = WIDTH * (FIELDS + (len(LISTS) if shape == "lists" else 0))
        for half, compiled in product((True, False), (True, False) if self.sizes.compiled and COMPILER else (False,)):
            choice = {"half": half, "compiled": compiled, "seconds": self.sizes.tower_seconds}
            rate = self._in_process(ours.towers, width, batch, self.sizes.threads[-1], **choice).result
            self._keep(f"{shape} {batch} towers {'bfloat16' if half else 'float32'} {'compiled' if compiled else 'eager'}", rate)

    def _grow(self) -> None:
        """Train on few rows at each number of ids, in one process each: rate and peak memory."""
        days = {self.sizes.ids: self.day, **{ids: self._grown(ids) for ids in self.sizes.growth}}
        for ids, day in days.items():
            settings = day.settings("fields")
            run = ours.Run(day, settings, self.sizes.growth_rows, self.sizes.batches[0], 1, self.sizes.chunk_rows, self.sizes.precisions[0])
            cost = self._in_process(ours.train, run, score=False)
            self._keep(f"ids {ids} train", cost.result["train"])
            self._keep(f"ids {ids} peak", cost.peak_bytes)
            self.found.table_bytes[ids] = sum(settings.profile.vocabularies.values()) * (WIDTH + 1) * 4

    def _widen(self) -> None:
        """Train on few rows with embeddings of other widths."""
        for width in self.sizes.widths:
            chosen = self.day.settings("fields")
            settings = altered(chosen, model=chosen.model.model_copy(update={"embedding_width": width}))
            run = ours.Run(
                self.day, settings, self.sizes.growth_rows, self.sizes.batches[0], 1, self.sizes.chunk_rows, self.sizes.precisions[0]
            )
            for name, rate in self._in_process(ours.train, run, score=False).result.items():
                self._keep(f"width {width} {name}", rate)

    def _start(self) -> float:
        """Return the seconds from the start of `esmm train` to the end of its first step."""
        self.day.settings("fields")  # into the environment
        began = time.time()
        command = [sys.executable, "-m", "tests.benchmarks.train_start", str(DAY)]
        said = subprocess.run(command, check=True, capture_output=True, text=True)
        return float(said.stdout.split()[-1]) - began

    def _peer_rate(self, shape: str, batch: int, library: str, form: str) -> float:
        out = self.folder / "peer.json"
        self._peer(out, shape, library=library, form=form, batch=batch, steps=self.sizes.peer_steps)
        return float(json.loads(out.read_text(encoding="utf-8"))["rate"])

    def _peer(self, out: Path, matrices: str, **task: Any) -> None:
        task |= {"matrices": str(self.folder / f"{matrices}.npz"), "threads": self.sizes.threads[-1]}
        command = [str(PEERS_PYTHON), str(Path(__file__).with_name("train_peers.py")), json.dumps(task), str(out)]
        quiet = {**os.environ, "TQDM_DISABLE": "1"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=quiet)

    def _compare(self) -> None:
        """Train all sides on the same rows, once, in the same batches, and judge the same test rows."""
        day, sizes = self.parity, self.sizes
        self._in_process(day.write)
        settings = day.settings("fields")
        parts = {"train": day.scan(settings, 0, sizes.parity_rows), "test": day.scan(settings, sizes.parity_rows, day.rows)}
        write_matrices(self.folder / "parity.npz", parts, settings)
        run = ours.Run(day, settings, day.rows, sizes.parity_batch, sizes.threads[-1], sizes.chunk_rows, sizes.precisions[0])
        self._in_process(ours.scores, run, sizes.parity_rows, self.folder / "ours.npy")
        for library in PEERS if self.peers else ():
            self._peer(self.folder / f"{library}.npy", "parity", library=library, form="tuned", batch=sizes.parity_batch, steps=0)
        with np.load(self.folder / "parity.npz") as kept:
            labels_N2 = kept["test/labels"].astype(bool)
        names = ("ours", *(PEERS if self.peers else ()))
        self.found.judge(labels_N2, {name: np.load(self.folder / f"{name}.npy") for name in names})

    def _in_process(self, work: Callable[..., Any], *given: Any, **named: Any) -> Cost:
        return in_fresh_process(partial(work, *given, **named))

    def _keep(self, name: str, value: float) -> None:
        self.found.values[name].append(value)
        log.warning("%s: %.4g", name, value)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="sizes that only show that it runs; the figures mean nothing")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--no-parity", dest="parity", action="store_false", help="leave out equal AUC")
    parser.add_argument("--ids", help="of all vocabularies")
    parser.add_argument("--growth", help="further numbers of ids, comma-separated")
    parser.add_argument("--rows", help="that ours trains on; whole chunks")
    parser.add_argument("--rounds", help="how often everything is measured")
    asked = parser.parse_args()
    sizes = QUICK if asked.quick else Sizes()
    sizes = replace(sizes, **{name: int(float(getattr(asked, name))) for name in ("ids", "rows", "rounds") if getattr(asked, name)})
    if asked.growth is not None:
        sizes = replace(sizes, growth=tuple(int(float(ids)) for ids in asked.growth.split(",") if ids))
    run(sizes if asked.parity else replace(sizes, parity_rows=0), peers=asked.peers)


def run(sizes: Sizes, *, peers: bool) -> str:
    """Measure in a folder that is gone afterwards, write the page and return it."""
    home = load_settings().root / "bench"
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/inductor"
        found = Bench(Path(folder), sizes, peers).measure()
    rows = results(found, sizes)
    page = markdown(rows, sizes)
    write_text(home / "train.json", json.dumps({"sizes": asdict(sizes), "results": rows, "values": found.values}, indent=1) + "\n")
    write_text(home / "train.md", page)
    print(page)  # noqa: T201  # the benchmark's report
    return page


if __name__ == "__main__":
    logging.disable(logging.INFO)
    main()
