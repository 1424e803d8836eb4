"""The exported scorer against `score`: loaded and run by a process that has torch, or ONNX's runtime, and the file, and cannot unpickle."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from components.checkpoints import Checkpoint
from components.errors import CheckpointError, SettingsError
from components.model.bottoms import BOTTOMS
from components.model.encoding import Layout, encode
from components.model.export import Scorer, export
from components.model.losses import LOSSES
from components.model.network import Network
from components.model.onnx import to_onnx
from components.model.padded import PADDING
from components.model.restore import describe
from components.model.scoring import score
from components.profile import Profile
from components.settings import Settings

pytestmark = pytest.mark.timeout(900)  # tracing takes two seconds of an idle core for each case
FIELDS = [
    {"name": "item_id", "kind": "id", "buckets": 50},
    {"name": "user_id", "kind": "id", "buckets": 30, "side": "user"},
    {"name": "price", "kind": "number", "buckets": 32},
    {"name": "seen", "kind": "list", "table": "item_id", "pooling": "mean", "side": "user", "length": 4},
    {"name": "kinds", "kind": "list", "buckets": 20, "side": "user", "beside": "seen"},
    {"name": "tags", "kind": "list", "buckets": 20},
    {"name": "recent", "column": "tags", "kind": "list", "table": "item_id", "pooling": "attention"},
]
LOGS = {
    "impressions": {"columns": {"impression_id": "i", "item_id": "t", "exposed_at": "e"}},
    "clicks": {"columns": {"impression_id": "i", "item_id": "t", "clicked_at": "c"}},
    "purchases": {"columns": {"order_id": "o", "item_id": "t", "purchased_at": "p"}},
}
SIZES = {
    "embedding_width": 4,
    "hidden": (6, 5),
    "position_tower": True,
    "dupn": {"sequence": "seen", "user_width": 5, "state_width": 4, "attention_width": 3, "hidden": (3,)},
}
MAPS = {
    "calibration.pctr.isotonic": torch.tensor([[0.24, 0.26, 0.28, 0.285, 0.9], [0.1, 0.1, 0.3, 0.5, 0.7]], dtype=torch.float64),
    "calibration.pcvr.platt": torch.tensor([0.8, -0.5], dtype=torch.float64),
}
CASES = {name: ({"bottom": name}, {}, 1.0) for name in BOTTOMS} | {"calibrated": ({"loss": "esm2"}, MAPS, 0.25)}
ALONE = """
import json, pickle, sys
import torch
import torch.export.pt2_archive
def refuse(*_, **__): raise AssertionError("unpickled")
pickle.load = pickle.loads = torch.load = refuse
answers = {}
for name, case in json.load(open(sys.argv[1])).items():
    program = torch.export.load(case["file"]).module()
    def run(ids, lists): return program(torch.tensor(ids), {field: torch.tensor(rows) for field, rows in lists.items()})
    answers[name] = [{key: values.tolist() for key, values in run(**inputs).items()} for inputs in case["inputs"]]
assert not {"components", "polars"} & sys.modules.keys()
print(json.dumps(answers))
"""
ALONE_ONNX = """
import json, os, sys
import numpy as np
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
answers = {}
for name, case in json.load(open(sys.argv[1])).items():
    session = onnxruntime.InferenceSession(case["file"].replace(".pt2", ".onnx"), providers=["CPUExecutionProvider"])
    named = case["tensors"]
    def run(ids, lists):
        fed = {named["ids"]: ids, **{named["lists"][field]: rows for field, rows in lists.items()}}
        return session.run(["pctr", "pcvr", "pctcvr"], {tensor: np.array(rows, np.int64) for tensor, rows in fed.items()})
    answers[name] = [dict(zip(("pctr", "pcvr", "pctcvr"), map(np.ndarray.tolist, run(**inputs)))) for inputs in case["inputs"]]
assert not {"components", "polars", "torch", "onnx"} & sys.modules.keys()
print(json.dumps(answers))
"""


def profile_of(choices):
    shares_nothing = choices.get("bottom") == "separate_embedding"
    fields = [{name: value for name, value in field.items() if not (shares_nothing and value == "attention")} for field in FIELDS]
    return Profile.model_validate({"name": "shop", **LOGS, "fields": fields})


def samples():
    """Forty samples: lists of none to six entries, some of them padding; the last sample has nothing known."""
    generator = np.random.default_rng(3)
    rows = []
    for number in range(39):
        seen = [f"item{item}" if item else None for item in generator.integers(0, 12, generator.integers(0, 7))]
        tags = [f"tag{tag}" for tag in generator.integers(0, 9, generator.integers(0, 4))]
        kinds = [["click", "cart"][len(item or "") % 2] for item in seen]
        rows.append((f"i{number}", f"item{number % 7}", f"user{number % 5}", float(number), seen, kinds, tags))
    schema = {"impression_id": pl.String, "item_id": pl.String, "user_id": pl.String, "price": pl.Float64}
    lists = dict.fromkeys(("seen", "kinds", "tags"), pl.List(pl.String))
    return pl.DataFrame([*rows, ("i39", *[None] * 6)], schema=schema | lists, orient="row")


def checkpoint_of(choices, maps, rate):
    """Parameters are all random, large enough to matter, and in wide layers so small that float32 tells 1e-6 of a probability."""
    layout, options = Layout.of(profile_of(choices)), Settings(model={**SIZES, **choices}).model
    network = Network(layout, options)
    for tensor in network.state_dict().values():
        tensor.normal_(std=min(0.4, 2 * tensor.shape[-1] ** -0.5), generator=torch.Generator().manual_seed(tensor.numel()))
    return Checkpoint({**network.state_dict(), **maps}, {}, {**describe(layout, options), "negative_rate": rate})


def inputs_of(rows, told, layout, *, wider=0):
    """Encoded samples as the manifest asks for them, list by list in a plain loop."""
    encoded, lists = encode(rows, layout), {}
    for place, field in enumerate(layout.lists):
        edges = [encoded.offsets_NL[row * len(layout.lists) + place :][:2] for row in range(len(encoded))]
        entries = [encoded.values_E[slice(*edge)].tolist() for edge in edges]
        width = told["inputs"]["lists"][field.name]["shape"][1]
        width = max(1, *map(len, entries)) + wider if width == "any" else width
        lists[field.name] = [[*row, *[PADDING] * (width - len(row))] for row in entries]
    return {"ids": encoded.ids_NS.tolist(), "lists": lists}


def parts():
    rows = samples()
    return [(rows, 0), (rows[:1], 0), (rows[39:], 0), (rows[5:8], 3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def answers(folder):
    """What one fresh process of each kind says of every case, by case."""
    cases = {}
    for name, (choices, maps, rate) in CASES.items():
        profile = profile_of(choices)
        program, told = export(checkpoint_of(choices, maps, rate), profile=profile, options=Settings(model={**SIZES, **choices}).model)
        torch.export.save(program, folder / f"{name}.pt2")
        converted, told = to_onnx(program, told)
        converted.save(folder / f"{name}.onnx")
        inputs = [inputs_of(rows, told, Layout.of(profile), wider=wider) for rows, wider in parts()]
        cases[name] = {"file": str(folder / f"{name}.pt2"), "inputs": inputs, "tensors": told["inputs"]["tensors"]}
    (folder / "cases.json").write_text(json.dumps(cases))
    said = {}
    for form, program in {"torch": ALONE, "onnx": ALONE_ONNX}.items():
        command = [sys.executable, "-I", "-c", program, str(folder / "cases.json")]
        homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME"), str(folder / "home"))
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**os.environ, **homes}, check=False)
        assert done.returncode == 0, done.stderr
        said[form] = json.loads(done.stdout)
    assert not (folder / "home").exists(), "where the runtime keeps what it would report"
    return said


@pytest.mark.parametrize("form", ["torch", "onnx"])
@pytest.mark.parametrize("case", CASES)
def test_a_process_with_the_runtime_and_the_file_alone_gives_the_scores(case, form, answers):
    choices, maps, rate = CASES[case]
    checkpoint, settings = checkpoint_of(choices, maps, rate), Settings(model={**SIZES, **choices})
    for (rows, _), found in zip(parts(), answers[form][case], strict=True):
        expected = score(rows.lazy(), checkpoint, profile=profile_of(choices), settings=settings)
        for name in ("pctr", "pcvr", "pctcvr"):
            np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-6)
        assert len(rows) < 10 or min(expected["pctr"].std(), expected["pcvr"].std()) > 1e-4


@pytest.mark.parametrize("case", CASES)
def test_the_file_holds_no_pickle_and_no_place(case, answers, folder):
    assert answers
    with zipfile.ZipFile(folder / f"{case}.pt2") as archive:
        contents = {Path(name).name if "sample_inputs" not in name else "sample_inputs": archive.read(name) for name in archive.namelist()}
    assert contents["sample_inputs"] == b""
    for config in ("model_weights_config.json", "model_constants_config.json"):
        assert not any(entry["use_pickle"] for entry in json.loads(contents[config])["config"].values())
    for whole in (*contents.values(), (folder / f"{case}.onnx").read_bytes()):
        assert str(Path(__file__).parents[2]).encode() not in whole
        assert b"components/model" not in whole


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_loss_has_a_scorer(loss):
    choices = {"loss": loss}
    checkpoint, settings = checkpoint_of(choices, MAPS, 0.5), Settings(model={**SIZES, **choices})
    layout = Layout.of(profile_of(choices))
    told = {"inputs": {"lists": {field.name: {"shape": ["batch", "any"]} for field in layout.lists}}}
    inputs = inputs_of(samples(), told, layout)
    with torch.inference_mode():
        lists = {name: torch.tensor(rows) for name, rows in inputs["lists"].items()}
        found = Scorer(checkpoint, layout, settings.model)(torch.tensor(inputs["ids"]), lists)
    expected = score(samples().lazy(), checkpoint, profile=profile_of(choices), settings=settings)
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=1e-6)


def hashed(table, text, rows):
    """The formula of the manifest, a byte at a time."""
    mask, state = 2**64 - 1, 0xCBF29CE484222325
    for byte in f"{table}\0{text}".encode():
        state = (state ^ byte) * 0x100000001B3 & mask
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & mask
    state = (state ^ state >> 27) * 0x94D049BB133111EB & mask
    return 1 + (state ^ state >> 31) % (rows - 1)


def test_the_manifest_says_how_to_make_the_inputs():
    choices = {"bottom": "shared_embedding"}
    _, told = export(checkpoint_of(choices, {}, 1.0), profile=profile_of(choices), options=Settings(model={**SIZES, **choices}).model)
    assert json.loads(json.dumps(told)) == told
    assert told["inputs"]["ids"] == {"dtype": "int64", "shape": ["batch", 3], "fields": ["item_id", "user_id", "price"]}
    assert list(told["inputs"]["lists"]) == ["seen", "kinds", "tags", "recent"]
    assert told["tables"]["user_id"] == {"first_row": 50, "rows": 30}
    examples = told["hash"]["examples"]
    for table, rows in examples["rows"].items():
        assert rows == [hashed(table, text, told["tables"][table]["rows"]) for text in examples["ids"]]


def test_a_checkpoint_of_another_network_is_not_exported():
    other = checkpoint_of({"bottom": "mmoe"}, {}, 1.0)
    with pytest.raises(CheckpointError, match="bottom was mmoe, is ple"):
        export(other, profile=profile_of({}), options=Settings(model={**SIZES, "bottom": "ple"}).model)


def test_onnx_is_an_extra(monkeypatch):
    choices = {"bottom": "shared_embedding"}
    made = export(checkpoint_of(choices, {}, 1.0), profile=profile_of(choices), options=Settings(model={**SIZES, **choices}).model)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SettingsError, match=r"esmm-pipeline\[onnx\], found no onnxscript"):
        to_onnx(*made)
