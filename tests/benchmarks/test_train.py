"""The training benchmark: its rows can be learned from, the peers read the rows that we read, and its page says which goals are met."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.model.encoding import Layout, encode
from tests.benchmarks import train
from tests.benchmarks.data_process import Cost
from tests.benchmarks.train import PEERS_PYTHON
from tests.benchmarks.train_page import Measured, results
from tests.benchmarks.train_rows import CLICKED, FIELDS, LIST_LENGTH, LISTS, SHAPES, Day, write_matrices, zipf
from tests.benchmarks.train_sizes import QUICK


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch) -> None:
    for name in ("ESMM_HOME", "ESMM_DATA__PROFILE", "ESMM_MODEL__AGE_CORRECTED", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.setenv(name, "false" if name.endswith("CORRECTED") else "")  # put back what the benchmark sets
    monkeypatch.setenv("ESMM_HOME", str(tmp_path / "home"))


@pytest.fixture
def day(tmp_path) -> Day:
    made = Day(tmp_path / "day", 20_000, 10_000, lists=True)
    made.write()
    return made


def test_vocabularies_grow_geometrically_to_the_ids_asked_for():
    sizes = Day(Path(), 4_200_000, 1).vocabularies
    assert len(sizes) == FIELDS
    assert sizes[0] == 10
    assert sizes[-1] == pytest.approx(2e6, rel=0.02)
    assert sum(sizes) == pytest.approx(4.2e6, rel=1e-5)


def test_ids_follow_the_law_of_zipf():
    counts = np.bincount(zipf(np.random.default_rng(1), 1000, 1_000_000), minlength=1001)
    assert counts[0] == 0
    assert len(counts) == 1001
    assert counts[100:200].sum() / counts[200:400].sum() == pytest.approx(2**0.2, rel=0.05)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_peers_read_the_rows_that_we_read(day, tmp_path, shape):
    settings, path = day.settings(shape), tmp_path / "matrices.npz"
    write_matrices(path, {"train": day.scan(settings, 0, 7_000), "test": day.scan(settings, 7_000, day.rows)}, settings)
    layout = Layout.of(settings.profile)
    ours = encode(day.scan(settings, 0, 7_000).collect(), layout)
    fields = {field["name"]: field for field in json.loads(path.with_suffix(".json").read_text())}
    with np.load(path) as theirs:
        own = np.stack([theirs[f"train/{field.name}"] + layout.offsets[field.vocabulary] for field in layout.singles], axis=1)
        assert (own == ours.ids_NS).all()
        assert theirs["test/labels"].shape == (3_000, 2)
        if shape == "lists":
            entries = np.stack([theirs[f"train/{name}"] for name in LISTS], axis=1) + layout.offsets["item_id"]
            assert entries.shape == (7_000, 2, LIST_LENGTH)
            assert (entries.ravel() == ours.values_E).all()
            assert {fields[name]["table"] for name in LISTS} == {"item_id"}
    assert fields["item_id"]["rows"] == day.vocabularies[-1] + 1


def test_rows_have_the_shares_asked_for_and_the_same_bytes_each_time(day, tmp_path):
    rows = day.scan(day.settings("fields"), 0, day.rows).collect()
    assert rows.height == day.rows
    assert rows["clicked"].mean() == pytest.approx(CLICKED, abs=0.008)
    again = Day(tmp_path / "again", day.ids, day.rows, lists=True)
    again.write()
    assert again.scan(again.settings("fields"), 0, day.rows).collect().equals(rows)


def here(work: Callable[[], Any]) -> Cost:
    """Do the work in this process; of its memory nothing is known."""
    return Cost(seconds=0.0, cpu_s=0.0, imports_s=0.0, peak_bytes=1, result=work())


def test_the_benchmark_runs_and_judges(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "in_fresh_process", here)
    sizes = replace(QUICK, rows=2_048, list_rows=2_048, parity_rows=1_024, test_rows=4_096, growth_rows=2_048, tower_seconds=0.01)
    page = train.run(sizes, peers=False)
    found = json.loads((tmp_path / "home" / "bench" / "train.json").read_text())
    assert (tmp_path / "home" / "bench" / "train.md").read_text() == page
    goals = [row["name"] for row in found["results"] if row["goal"]]
    assert sum("towers alone" in name for name in goals) == 2
    assert any("first step" in name for name in goals)
    assert all(value > 0 for values in found["values"].values() for value in values)


@pytest.mark.skipif(not PEERS_PYTHON.exists(), reason="the peers' environment is made by `make bench-train`")
@pytest.mark.parametrize(("library", "form"), [("rechub", "readme"), ("rechub", "tuned"), ("deepctr", "readme")])
def test_a_peer_trains_and_scores_the_same_rows(day, tmp_path, library, form):
    settings, script = day.settings("lists"), Path(train.__file__).with_name("train_peers.py")
    write_matrices(tmp_path / "m.npz", {"train": day.scan(settings, 0, 640), "test": day.scan(settings, 640, 740)}, settings)
    steps = 2 if form == "readme" else 0
    task = {"matrices": str(tmp_path / "m.npz"), "library": library, "form": form, "batch": 128, "threads": 1, "steps": steps}
    out = tmp_path / ("rate.json" if steps else "scores.npy")
    subprocess.run([str(PEERS_PYTHON), str(script), json.dumps(task), str(out)], check=True, capture_output=True)
    if steps:
        assert json.loads(out.read_text())["rate"] > 0
    else:
        assert np.load(out).shape == (100, 3)


@pytest.mark.parametrize(("peer", "peak", "met"), [(4_000.0, 12_600.0, True), (4_001.0, 12_601.0, False)])
def test_goals_are_met_from_the_ratio_of_medians_on(peer, peak, met):
    values = {"auc ours": [1.0], "auc theirs": [4.0], "start": [9.0, 10.0, 30.0]}
    for shape in SHAPES:
        at = f"{shape} 256 1 bfloat16"
        values |= {f"{at} train": [1e5, 1.0, 2e5], f"{at} score": [3e5], f"{at} score_both": [1.4e5]}
        values |= {f"{shape} 256 towers bfloat16 eager": [1.5e5]}
        values |= {f"{shape} 256 rechub readme": [peer], f"{shape} 256 rechub tuned": [1e6], f"{shape} read_encode": [1e6]}
    values |= {"width 8 train": [1.0], "ids 20 train": [100.0], "ids 40 train": [80.0], "ids 20 peak": [10_000.0], "ids 40 peak": [peak]}
    rows = results(Measured(values, table_bytes={20: 1_000, 40: 3_000}), QUICK)
    judged = {row["name"]: row["met"] for row in rows if row["goal"]}
    assert judged["fields, batch 256, bfloat16, threads 1: ours / torch-rechub"] is met
    assert judged["4e-05 M ids: peak memory's growth / tables'"] is met
    assert judged["4e-05 M ids: rate / that at 2e-05 M"]
    assert judged["lists, batch 256, bfloat16, threads 1: ours / towers alone"]
    assert not judged["exact AUC / scikit-learn's roc_auc_score"]
    assert judged["`esmm train` until its first step is done"]
    assert judged["fields: scoring by one model / training"]
    assert not judged["lists: scoring by champion and challenger, each row twice / training"]
    assert judged["lists: reading and encoding alone, time / training's"]


def test_equal_auc_is_refused_where_the_interval_is_below_none():
    generator, rows = np.random.default_rng(1), 4_000
    labels_N2 = np.stack([generator.random(rows) < 0.5, np.zeros(rows, np.bool_)], axis=1)
    labels_N2[:, 1] = labels_N2[:, 0] & (generator.random(rows) < 0.5)
    noise_N3 = generator.random((rows, 3))
    knowing_N3 = noise_N3 + labels_N2[:, [0, 1, 1]]
    found = Measured({})
    found.judge(labels_N2, {"ours": noise_N3, "rechub": knowing_N3, "deepctr": noise_N3})
    assert found.aucs["rechub"] == {"ctr": 1.0, "cvr": 1.0, "ctcvr": 1.0}
    assert {task: found.differences["rechub", task].high < 0 for task in ("ctr", "cvr", "ctcvr")} == dict.fromkeys(
        ("ctr", "cvr", "ctcvr"), True
    )
    assert found.differences["deepctr", "ctr"].value == 0
