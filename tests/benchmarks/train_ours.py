"""Our side of the training benchmark, and what bounds it: each function is called in a process of its own."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn

from components.evaluate.auc import auc_interval, placements
from components.model.encoding import Layout, encode
from components.model.layers import tower
from components.model.scoring import score_chunks
from components.model.stream import read_chunks
from components.model.threads import torch_threads
from components.model_settings import Model
from components.settings import Settings, altered
from components.train.batches import columns_to_train
from components.train.loop import fine_tune
from tests.benchmarks.train_rows import SEED, Day

Rates = dict[str, float]


@dataclass(frozen=True)
class Run:
    """How our rows are trained on."""

    day: Day
    settings: Settings
    rows: int
    """Whole chunks; the first warms up and is not timed."""
    batch: int
    threads: int
    chunk_rows: int
    precision: str = "float32"

    @property
    def chosen(self) -> Settings:
        """The settings with these choices."""
        train = {"batch_size": self.batch, "threads": self.threads, "chunk_rows": self.chunk_rows, "precision": self.precision}
        return altered(self.settings, train=self.settings.train.model_copy(update=train))


def train(run: Run, *, score: bool) -> Rates:
    """Train as the pipeline does; return rows a second and rows a second of CPU, and of scoring them by champion and challenger."""
    marks: list[tuple[int, float, float]] = []
    settings, rows = run.chosen, run.day.scan(run.settings, 0, run.rows)
    profile = settings.profile
    checkpoint = fine_tune(
        rows,
        None,
        profile=profile,
        settings=settings,
        progress=lambda done: marks.append((done, time.perf_counter(), time.process_time())),
    )
    (warm, began, cpu), (done, ended, cpu_ended) = next(mark for mark in marks if mark[0] >= run.chunk_rows), marks[-1]
    rates = {"train": (done - warm) / (ended - began), "train_cpu": (done - warm) / (cpu_ended - cpu)}
    if score:
        for name, models in {"score": [checkpoint], "score_both": [checkpoint, replace(checkpoint)]}.items():
            began = time.perf_counter()
            scored = sum(frames[0].height for frames in score_chunks(rows, models, profile=profile, settings=settings))
            rates[name] = scored / (time.perf_counter() - began)
    return rates


def read(run: Run) -> Rates:
    """Return rows a second of reading the day's chunks, and of reading and encoding them."""
    profile = run.settings.profile
    layout, rows, rates = Layout.of(profile), run.day.scan(run.settings, 0, run.rows), {}
    columns = columns_to_train(rows, layout, profile, run.settings.model)
    for name, work in {"read": len, "read_encode": lambda chunk: encode(chunk, layout)}.items():
        began = time.perf_counter()
        for chunk in read_chunks(rows.select(columns), run.chunk_rows):
            work(chunk)
        rates[name] = run.rows / (time.perf_counter() - began)
    return rates


def scores(run: Run, first: int, path: Path) -> None:
    """Train on the rows before `first` and keep the other rows' pctr, pcvr and pctcvr, float64 [N, 3]."""
    settings = run.chosen
    profile = settings.profile
    checkpoint = fine_tune(run.day.scan(settings, 0, first), None, profile=profile, settings=settings)
    held_back = run.day.scan(settings, first, run.day.rows)
    blocks = [
        chunk.select("pctr", "pcvr", "pctcvr").to_numpy()
        for (chunk,) in score_chunks(held_back, [checkpoint], profile=profile, settings=settings)
    ]
    np.save(path, np.concatenate(blocks))


class _Towers(nn.Module):
    def __init__(self, width: int, options: Model) -> None:
        super().__init__()
        self.towers = nn.ModuleList([tower(width, options.hidden, options) for _ in ("ctr", "cvr")])

    def forward(self, x_BD: torch.Tensor) -> torch.Tensor:
        return torch.stack([own(x_BD).squeeze(-1) for own in self.towers]).sigmoid().mean()


def towers(width: int, batch: int, threads: int, *, half: bool, compiled: bool, seconds: float) -> float:
    """Return rows a second of the dense towers alone, forward and backward down to their random inputs, in bf16 or float32."""
    torch.manual_seed(SEED)
    both = _Towers(width, Model())
    forward: Any = torch.compile(both) if compiled else both
    x_BD = torch.randn(batch, width, requires_grad=True)

    def step() -> None:
        both.zero_grad()
        x_BD.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = forward(x_BD)
        loss.backward()

    with torch_threads(threads):
        for _ in range(3):
            step()
        steps, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            step()
            steps += 1
        return steps * batch / (time.perf_counter() - began)


def auc_seconds(rows: int, rounds: int) -> list[dict[str, float]]:
    """Return the seconds of our exact AUC with its interval and of scikit-learn's AUC alone, in turn, on scores of one click in 25."""
    generator = np.random.default_rng(SEED)
    positive_N: NDArray[np.bool_] = generator.random(rows) < 0.04
    score_N = generator.normal(size=rows) + positive_N
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        ours = auc_interval(placements(positive_N, score_N), confidence=0.95).value
        between = time.perf_counter()
        theirs = roc_auc_score(positive_N, score_N)
        found.append({"ours": between - began, "theirs": time.perf_counter() - between, "difference": abs(ours - theirs)})
    return found
