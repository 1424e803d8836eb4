"""The quality benchmark: arms are trained once, the peers read the ids that we read, and scores are judged as they should be."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from components.experiment.training import read_reference, train_arm
from components.experiment.worlds import Rows
from components.model.encoding import Layout, encode
from components.model_fields import ModelField
from tests.benchmarks import quality
from tests.benchmarks.quality import ASKED, COMPARED, PEERS_PYTHON, judge, train_missing
from tests.benchmarks.quality_page import LIBRARIES, markdown
from tests.benchmarks.quality_rows import write_matrices
from tests.benchmarks.quality_scores import Outcomes, compare, summarise, with_better_pcvr, with_one_ctr, without_one_ctr

FIELDS = (
    ModelField(name="item_id", kind="id", buckets=1000),
    ModelField(name="price", kind="number", buckets=64),
    ModelField(name="clicked_items", kind="list", table="item_id"),
)
LAYOUT = Layout(FIELDS, {"item_id": 1000, "price": 64})


def frame(items: list[str | None], clicked_items: list[list[str | None] | None]) -> pl.DataFrame:
    rows = len(items)
    labels = {"clicked": [row % 2 == 0 for row in range(rows)], "converted": [row % 4 == 0 for row in range(rows)]}
    columns = {"item_id": items, "price": [float(row) for row in range(rows)], "clicked_items": clicked_items, **labels}
    return pl.DataFrame(columns, schema_overrides={"item_id": pl.String, "clicked_items": pl.List(pl.String)})


@pytest.fixture
def parts() -> dict[str, pl.DataFrame]:
    return {
        "train": frame(["a", "b", None, "a"], [["b", "a"], None, [], ["c"]]),
        "test": frame(["b", "d"], [["a", None, "b", "d"], ["d"]]),
    }


def test_the_peers_read_our_ids_renumbered_without_gaps(parts, tmp_path):
    write_matrices(parts, LAYOUT, tmp_path)
    fields = {field["name"]: field for field in json.loads((tmp_path / "peers.json").read_text())}
    with np.load(tmp_path / "peers.npz") as kept:
        theirs = dict(kept)
    pairs: dict[str, set[tuple[int, int]]] = {"item_id": set(), "price": set()}
    for part, samples in parts.items():
        ours = encode(samples, LAYOUT)
        for place, name in enumerate(("item_id", "price")):
            pairs[name] |= set(zip(ours.ids_NS[:, place].tolist(), theirs[f"{part}/{name}"].tolist(), strict=True))
        entries = theirs[f"{part}/clicked_items"]
        assert (entries > 0).sum(axis=1).tolist() == np.diff(ours.offsets_NL).tolist()
        pairs["item_id"] |= set(zip(ours.values_E.tolist(), entries[entries > 0].tolist(), strict=True))
        assert theirs[f"{part}/labels"].tolist() == samples.select(pl.col("clicked", "converted").cast(pl.Float32)).to_numpy().tolist()
    for table, found in pairs.items():
        own, other = ({pair[side] for pair in found} for side in (0, 1))
        assert len(found) == len(own) == len(other)  # one to one, lists and ids of a table together
        assert other == set(range(1, fields[table]["rows"]))
    assert fields["clicked_items"] == {"name": "clicked_items", "table": "item_id", "rows": fields["item_id"]["rows"]}
    assert theirs["train/clicked_items"].shape == (4, 3)
    assert theirs["test/clicked_items"].shape == (2, 3)


@pytest.fixture
def rows(tmp_path, make_samples, monkeypatch) -> Rows:
    """A shop's rows, with scores of the peers; what trains side by side trains in turn."""
    monkeypatch.setattr(quality, "each", lambda work, jobs: [work(job) for job in jobs])
    found = Rows(tmp_path / "shop")
    (found.folder / "scores").mkdir(parents=True)
    start = datetime(2024, 5, 1, tzinfo=UTC)
    for path, count in ((found.train, 1200), (found.test, 600)):
        make_samples(count, seed=count).with_columns(exposed_at=pl.lit(start) + pl.int_range(count) * timedelta(seconds=1)).write_parquet(
            path
        )
    found.facts.write_text("{}")
    for name in (f"{library}_{model}" for library in LIBRARIES for model in COMPARED):
        np.save(found.folder / "scores" / f"{name}-0.npy", np.random.default_rng(0).random((600, 3)))
    return found


def test_arms_are_trained_once_and_base_before_those_that_choose_rows_by_it(rows, make_settings):
    settings = make_settings()
    train_missing(["unbias", "base"], 1, rows=rows, settings=settings)
    kept = {path.name: path.stat().st_mtime_ns for path in (rows.folder / "scores").iterdir()}
    reference = read_reference(rows.folder / "scores" / "base-0-clicks.parquet")
    assert reference.collect().height == pl.scan_parquet(rows.train).filter("clicked").collect().height
    say = train_arm(("unbias", 0), pl.scan_parquet(rows.train), reference, settings)
    expected = say(pl.scan_parquet(rows.test)).select("pctr", "pcvr", "pctcvr").to_numpy()
    assert np.array_equal(np.load(rows.folder / "scores" / "unbias-0.npy"), expected)
    train_missing(["unbias", "base"], 1, rows=rows, settings=settings)
    assert {path.name: path.stat().st_mtime_ns for path in (rows.folder / "scores").iterdir()} == kept


def test_ctcvr_is_judged_with_the_ctr_network_of_base_and_with_the_arms_own(rows, make_settings):
    arms = ["base", "aman_10", "esmm"]
    train_missing(arms, 1, rows=rows, settings=make_settings())
    found = judge(rows, arms, 1, peers=True)
    converted = pl.read_parquet(rows.test)["converted"].to_numpy()
    base, aman, esmm = (np.load(rows.folder / "scores" / f"{arm}-0.npy") for arm in arms)
    for arm, scores in (("base", base), ("aman_10", aman), ("esmm", esmm)):
        assert found["auc"][arm]["ctcvr_auc"]["mean"] == pytest.approx(roc_auc_score(converted, base[:, 0] * scores[:, 1]))
    assert found["auc"]["esmm"]["ctcvr_auc_own"]["mean"] == pytest.approx(roc_auc_score(converted, esmm[:, 2]))
    assert found["auc"]["aman_10"]["ctcvr_auc_own"] is found["auc"]["aman_10"]["ctr_auc"] is None
    assert [(one["arm"], one["other"]) for one in found["to_esmm"]] == [("base", "esmm"), ("aman_10", "esmm")]
    assert [(one["arm"], one["other"]) for one in found["to_peers"]] == [("esmm", f"{library}_esmm") for library in LIBRARIES]
    alone = judge(rows, arms, 1, peers=False)
    assert alone["to_peers"] == []
    assert alone["auc"] == {arm: found["auc"][arm] for arm in arms}


def test_the_papers_arms_are_asked_for():
    assert set(quality.find_arms(ASKED.split(","))) >= {"base", "aman_10", "oversampling_5", "unbias", "division", "esmm_ns", "esmm"}


def noisy(test: Outcomes, noise: float, seed: int) -> NDArray[np.float64]:
    """Return scores [N, 4]; those with one CTR network are its own."""
    drawn_N3 = np.random.default_rng(seed).random((len(test.clicked_N), 3))
    told_N3 = np.stack([test.clicked_N, test.converted_N, test.converted_N], axis=1)
    scores_N3 = told_N3 + noise * drawn_N3
    return np.column_stack([scores_N3, scores_N3[:, 2]])


@pytest.fixture
def outcomes() -> Outcomes:
    generator = np.random.default_rng(7)
    clicked_N = generator.random(2000) < 0.5
    return Outcomes(clicked_N, clicked_N & (generator.random(2000) < 0.4))


def test_cvr_is_judged_on_the_clicked_alone(outcomes):
    scores = noisy(outcomes, 2, seed=1)
    clicked, converted = outcomes.clicked_N, outcomes.converted_N
    expected = {
        "cvr_auc": roc_auc_score(converted[clicked], scores[clicked, 1]),
        "ctcvr_auc": roc_auc_score(converted, scores[:, 3]),
        "ctcvr_auc_own": roc_auc_score(converted, scores[:, 2]),
        "ctr_auc": roc_auc_score(clicked, scores[:, 0]),
    }
    found = summarise({"esmm": [scores, scores]}, outcomes)["esmm"]
    assert {metric: auc["mean"] for metric, auc in found.items() if auc} == pytest.approx(expected)
    assert all(auc["sd"] == 0 for auc in found.values() if auc)


def test_what_a_network_has_no_score_of_is_not_judged(outcomes):
    scores = noisy(outcomes, 2, seed=1)
    runs = {
        "esmm": [with_one_ctr(scores[:, :3], scores, own_ctr=True)],
        "unbias": [with_one_ctr(scores[:, :3], scores, own_ctr=False)],
        "peer": [without_one_ctr(scores[:, :3])],
    }
    judged = {name: [metric for metric, auc in found.items() if auc] for name, found in summarise(runs, outcomes).items()}
    assert judged["esmm"] == ["cvr_auc", "ctcvr_auc", "ctcvr_auc_own", "ctr_auc"]
    assert judged["unbias"] == ["cvr_auc", "ctcvr_auc"]
    assert judged["peer"] == ["cvr_auc", "ctcvr_auc_own", "ctr_auc"]
    assert [metric for metric, one in compare("unbias", "peer", runs, outcomes).items() if one] == ["cvr_auc"]


@pytest.mark.parametrize(("ours", "theirs", "verdict"), [(1.5, 4, "better"), (4, 1.5, "worse"), (2, 2, "equal")])
def test_a_difference_counts_where_seeds_and_rows_agree(outcomes, ours, theirs, verdict):
    runs = {
        "esmm": [noisy(outcomes, ours, seed) for seed in range(4)],
        "peer": [noisy(outcomes, theirs, seed) for seed in range(4, 8)],
    }
    found = compare("esmm", "peer", runs, outcomes)["ctcvr_auc_own"]
    assert found is not None
    assert found["verdict"] == verdict
    assert found["seeds"][0] < found["difference"] < found["seeds"][1]
    assert found["rows"][0] < found["of_means"] < found["rows"][1]


def test_a_peer_is_given_the_better_of_its_two_conversion_scores(outcomes):
    good = noisy(outcomes, 1.5, seed=1)
    bad_pcvr = good * np.array([1, -1, 1, 1])
    assert with_better_pcvr([good], outcomes)[0] is good
    assert with_better_pcvr([bad_pcvr], outcomes)[0][:, 1].tolist() == good[:, 2].tolist()


def test_the_page_has_a_row_for_each_network_and_each_comparison(outcomes):
    scores = [noisy(outcomes, 2, seed) for seed in (0, 1)]
    runs = {
        "esmm": scores,
        "unbias": [with_one_ctr(one[:, :3], one, own_ctr=False) for one in scores],
        "rechub_esmm": [without_one_ctr(one[:, :3]) for one in scores],
    }
    counts = {"rows": 2000, "clicked": 1000, "converted": 400}
    facts = {
        "first": "2024-05-01",
        "last": "2024-05-03",
        "test_from": str(datetime(2024, 5, 3, tzinfo=UTC)),
        "train": counts,
        "test": counts,
    }
    to_esmm, to_peers = (
        [{"arm": arm, "other": other, **compare(arm, other, runs, outcomes)}]
        for arm, other in (("unbias", "esmm"), ("esmm", "rechub_esmm"))
    )
    page = markdown({"shop": {"facts": facts, "auc": summarise(runs, outcomes), "to_esmm": to_esmm, "to_peers": to_peers}}, seeds=2)
    assert "## shop, 2024-05-01 to 2024-05-03, tested from 2024-05-03" in page
    same = "+0.00 [+0.00, +0.00] [+0.00, +0.00] equal"
    assert f"| UNBIAS less ESMM | {same} | +" in page
    assert "| difference | CVR, clicked | CTCVR, own | CTR |" in page
    assert f"| ESMM less torch-rechub ESMM | {same} | {same} | {same} |" in page


@pytest.mark.slow
@pytest.mark.skipif(not PEERS_PYTHON.exists(), reason="the peers' environment is not there: make bench-quality makes it")
@pytest.mark.parametrize("library", ["rechub", "rechub256", "deepctr"])
def test_a_peer_trains_on_lists_and_ids_and_gives_probabilities(parts, tmp_path, library):
    write_matrices(parts, LAYOUT, tmp_path)
    for out in (tmp_path / "first", tmp_path / "again"):
        out.mkdir()
        script = Path(__file__).with_name("quality_peers.py")
        subprocess.run([PEERS_PYTHON, script, tmp_path, out, library, "1"], check=True, capture_output=True)
    for name in (f"{library}_{model}-0.npy" for model in ("esmm", "mmoe", "ple")):
        scores = np.load(tmp_path / "first" / name)
        assert scores.shape == (2, 3)
        assert ((scores[:, [0, 2]] > 0) & (scores[:, [0, 2]] < 1)).all()
        assert scores[:, 0] * scores[:, 1] == pytest.approx(scores[:, 2])
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
