"""Our arms on real sets, beside the peers' ESMM, MMoE and PLE: `make bench-quality DATA=FOLDER`. Same rows, same ids, one epoch, 5 seeds.

Prints the tables and writes `<ESMM_HOME>/bench/quality.{md,json}`; rows and scores are kept in `<ESMM_HOME>/bench/quality/<set>`, so that
the same command goes on where it was ended: after a change of the code remove that folder.
"""

import argparse
import json
import logging
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from components.experiment.arms import ARMS, BASE, ESMM, ORACLE, find_arms
from components.experiment.pool import each
from components.experiment.training import Job, base_first, keep_reference, read_reference, train_arm
from components.experiment.worlds import Rows
from components.records import Record, write_text
from components.settings import Settings, load_settings
from tests.benchmarks.quality_page import LIBRARIES, markdown
from tests.benchmarks.quality_rows import AT_HAND, SETS, make_matrices, make_rows, settings_of
from tests.benchmarks.quality_scores import Floats, Outcomes, Runs, compare, summarise, with_better_pcvr, with_one_ctr, without_one_ctr

ASKED = "base,aman_10,oversampling_5,unbias,division,esmm_ns,esmm,masked,product_masked,mmoe,ple,shared_bottom"
COMPARED = {"esmm": ("esmm", "masked", "product_masked"), "mmoe": ("mmoe",), "ple": ("ple",)}
"""A peer's model -> our arms beside it."""
PEERS_PYTHON = Path(".peers/bin/python")


def keep_scores(job: Job, *, rows: Rows, settings: Settings) -> None:
    """Train one of our arms as the pipeline would, from a cold start, and keep the scores of the test rows; BASE's of the clicks too."""
    arm, seed = job
    clicks = rows.folder / "scores" / f"{BASE}-{seed}-clicks.parquet"
    training = pl.scan_parquet(rows.train)
    say = train_arm(job, training, read_reference(clicks), settings)
    if arm == BASE:
        keep_reference(clicks, say, training.filter("clicked"))
    scored = say(pl.scan_parquet(rows.test))
    path = _kept(rows, arm, seed)
    aside = path.with_suffix(".aside.npy")
    np.save(aside, scored.select("pctr", "pcvr", "pctcvr").to_numpy())
    aside.replace(path)


def train_missing(arms: Sequence[str], seeds: int, *, rows: Rows, settings: Settings) -> None:
    """Train our arms whose scores are not there."""
    missing = [(arm, seed) for arm in arms for seed in range(seeds) if not _kept(rows, arm, seed).exists()]
    for part in base_first(missing):
        for _ in each(partial(keep_scores, rows=rows, settings=settings), part):
            pass


def train_peers(rows: Rows, seeds: int) -> None:
    """Train the peers, a process for each library."""
    script, quiet = Path(__file__).with_name("quality_peers.py"), {**os.environ, "TQDM_DISABLE": "1"}

    def start(library: str) -> None:
        command = [PEERS_PYTHON, script, rows.folder, rows.folder / "scores", library, seeds]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, env=quiet)

    with ThreadPoolExecutor(len(LIBRARIES)) as pool:
        list(pool.map(start, LIBRARIES))


def judge(rows: Rows, arms: Sequence[str], seeds: int, *, peers: bool) -> Record:
    """Return the AUCs of all networks, our arms less ESMM, and ours less the peers'."""
    labels = pl.read_parquet(rows.test, columns=["clicked", "converted"]).cast(pl.Boolean)
    test = Outcomes(labels["clicked"].to_numpy(), labels["converted"].to_numpy())
    runs = {**_ours(rows, arms, seeds), **(_theirs(rows, seeds, test) if peers else {})}
    to_esmm = [(arm, ESMM) for arm in arms if arm != ESMM] if ESMM in arms else []
    beside = [(arm, f"{library}_{model}") for model, ours in COMPARED.items() for arm in ours if arm in arms for library in LIBRARIES]
    beside = [(arm, other) for arm, other in beside if other in runs]
    return {
        "facts": json.loads(rows.facts.read_text(encoding="utf-8")),
        "auc": summarise(runs, test),
        "to_esmm": [{"arm": arm, "other": other, **compare(arm, other, runs, test)} for arm, other in to_esmm],
        "to_peers": [{"arm": arm, "other": other, **compare(arm, other, runs, test)} for arm, other in beside],
    }


def _ours(rows: Rows, arms: Sequence[str], seeds: int) -> Runs:
    base = _scores(rows, BASE, seeds)
    return {
        arm: [
            with_one_ctr(own_N3, one_N3, own_ctr=ARMS[arm].own_ctr) for own_N3, one_N3 in zip(_scores(rows, arm, seeds), base, strict=True)
        ]
        for arm in arms
    }


def _theirs(rows: Rows, seeds: int, test: Outcomes) -> Runs:
    """Return the peers' scores; MMoE and PLE, which have no conversion tower, with the better pCVR."""
    names = {f"{library}_{model}": model for library in LIBRARIES for model in COMPARED}
    scores = {name: [without_one_ctr(scores_N3) for scores_N3 in _scores(rows, name, seeds)] for name in names}
    return {name: scores[name] if model == "esmm" else with_better_pcvr(scores[name], test) for name, model in names.items()}


def _scores(rows: Rows, name: str, seeds: int) -> list[Floats]:
    return [np.load(_kept(rows, name, seed), allow_pickle=False) for seed in range(seeds)]


def _kept(rows: Rows, name: str, seed: int) -> Path:
    return rows.folder / "scores" / f"{name}-{seed}.npy"


def main(source: Path, names: Sequence[str], arms: Sequence[str], seeds: int, *, peers: bool) -> None:
    """Make the rows, train, judge and report."""
    home = load_settings().root / "bench"
    found: Record = {}
    for name in names:
        folder = (home / "quality" / name).absolute()
        (folder / "scores").mkdir(parents=True, exist_ok=True)
        settings = settings_of(SETS[name], source, folder)
        rows = make_rows(SETS[name], settings, folder)
        train_missing(arms, seeds, rows=rows, settings=settings)
        if peers:
            make_matrices(rows, settings)
            train_peers(rows, seeds)
        found[name] = judge(rows, arms, seeds, peers=peers)
    page = markdown(found, seeds)
    write_text(home / "quality.md", page)
    write_text(home / "quality.json", json.dumps(found, indent=1) + "\n")
    print(page)  # noqa: T201  # the benchmark's report


if __name__ == "__main__":
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, help="the folder of the sets, each a landing zone")
    parser.add_argument("--sets", default=",".join(AT_HAND))
    parser.add_argument(
        "--arms", default=ASKED, help="names of components/experiment/arms.py; BASE, the one CTR network, is always among them"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="ours alone, which no matrix of the set in memory bounds")
    asked = parser.parse_args()
    arms = [arm for arm in find_arms(asked.arms.split(",")) if arm != ORACLE]
    main(asked.data, asked.sets.split(","), arms, asked.seeds, peers=asked.peers)
