"""The manifest: what it says, that it is of its schema, and that the same inputs give the same bytes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from components.cli import main
from components.errors import MissingInputError, SettingsError
from components.kubeflow.trainjob import render
from components.records import Records
from components.settings import Settings, load_settings
from tests.chains import change, day, version, write_day
from tests.kubeflow.stand_in import SCHEMA


def variables(manifest: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in manifest["spec"]["trainer"]["env"]}


@pytest.mark.parametrize(("nodes", "processes"), [(1, 1), (4, 1), (16, 8)])
def test_a_manifest_of_n_nodes_is_of_the_schema(settings: Settings, monkeypatch: pytest.MonkeyPatch, nodes: int, processes: int) -> None:
    monkeypatch.setenv("ESMM_KUBEFLOW__NODES", str(nodes))
    monkeypatch.setenv("ESMM_KUBEFLOW__PROCESSES", str(processes))
    manifest = render(day(2), load_settings())
    jsonschema.Draft202012Validator(SCHEMA).validate(manifest)
    trainer = manifest["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (nodes, processes)
    assert trainer["command"][-2:] == ["train", "2024-05-02"]
    assert re.fullmatch(r"esmm-train-20240502-[0-9a-f]{12}", manifest["metadata"]["name"])
    assert manifest["metadata"]["name"] == render(day(2), settings)["metadata"]["name"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("metadata", "name"), "Esmm"),
        (("metadata", "name"), "e" * 64),
        (("spec", "trainer", "numNodes"), "two"),
        (("spec", "trainer", "numProcPerNode"), "auto"),
        (("spec", "trainer", "env"), [{"name": f"A{number}"} for number in range(129)]),
        (("spec", "trainer", "nodes"), 2),
        (("spec", "runtimeRef"), {}),
    ],
)
def test_the_schema_refuses(settings: Settings, place: tuple[str, ...], value: object) -> None:
    manifest = render(day(2), settings)
    *outer, last = place
    part = manifest
    for key in outer:
        part = part[key]
    part[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(manifest)


def test_another_process_renders_the_same_bytes_and_the_command_prints_them_as_json_and_yaml(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "import json, datetime; from components import settings; from components.kubeflow.trainjob import render; "
    script += f"print(json.dumps(render(datetime.date({day(2).year}, 5, 2), settings.load_settings())))"
    own = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    other = subprocess.run([sys.executable, "-c", script], env=own, capture_output=True, text=True, check=True, timeout=60)
    expected = json.dumps(render(day(2), settings))
    assert other.stdout.strip() == expected
    main(["train-job", str(day(2)), "--json"])
    assert json.loads(capsys.readouterr().out) == json.loads(expected)
    main(["train-job", str(day(2))])
    assert yaml.safe_load(capsys.readouterr().out) == json.loads(expected)


def test_a_pod_trains_as_the_settings_say_whatever_its_image_and_the_profile_set(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESMM_TRAIN__BATCH_SIZE", "512")  # the default; the profile has 1,024
    monkeypatch.setenv("ESMM_MODEL__HIDDEN", "[64,32]")
    monkeypatch.setenv("ESMM_MODEL__REGRESSIONS", '[{"name": "price", "column": "price"}]')
    monkeypatch.setenv("ESMM_LABELS__CLICK_WINDOW", "PT90M")
    monkeypatch.setenv("ESMM_LAKE__URI", "s3://bucket/a$b")
    monkeypatch.setenv("ESMM_TRAIN__WHERE", "kubeflow")
    wanted = load_settings()
    manifest = render(day(2), wanted)
    assert variables(manifest)["ESMM_LAKE__URI"] == "s3://bucket/a$$b"
    image = tmp_path / "image.toml"
    image.write_text("[train]\nbatch_size = 7\n[gate]\nmin_positives = 5\n")
    for name in [name for name in os.environ if name.startswith("ESMM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ESMM_SETTINGS", str(image))
    monkeypatch.setenv("ESMM_MODEL__EMBEDDING_WIDTH", "3")
    for name, value in variables(manifest).items():
        monkeypatch.setenv(name, value.replace("$$", "$"))
    found = load_settings()
    assert found.fingerprint == wanted.fingerprint != settings.fingerprint
    assert (found.root, found.profile_path, found.lake_uri) == (wanted.root, wanted.profile_path, "s3://bucket/a$b")
    assert found.gate == wanted.gate  # the image's settings file is not read
    assert (found.lake.file_rows, found.train.where) == (wanted.lake.file_rows, "local")


def test_no_secret_is_in_a_manifest(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings
    for name in ("DATABASE__URL", "PUBLISH__ONLINE_URL", "PUBLISH__REGISTRY_URL"):
        monkeypatch.setenv(f"ESMM_{name}", "postgresql://u:hidden@h")
    text = json.dumps(render(day(2), load_settings()))
    assert "hidden" not in text
    assert "token" not in text


def aggregated_again(settings: Settings) -> None:
    change(settings, 2, "aggregate", seconds=2)


def eve_labelled_again(settings: Settings) -> None:
    change(settings, 1, "label", table_version=7)


def parent_trained_again(settings: Settings) -> None:
    write_day(settings, 1, content="b")


def later_day_trained(settings: Settings) -> None:
    write_day(settings, 3)


@pytest.mark.parametrize(
    ("happens", "renames"), [(aggregated_again, True), (eve_labelled_again, True), (parent_trained_again, True), (later_day_trained, False)]
)
def test_a_job_is_named_after_what_its_training_reads(settings: Settings, happens: Callable[[Settings], None], *, renames: bool) -> None:
    before = render(day(2), settings)["metadata"]["name"]
    happens(settings)
    assert (render(day(2), settings)["metadata"]["name"] != before) is renames
    assert version(2) not in before


def test_a_full_retrain_is_named_after_all_days_that_it_reads(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESMM_TRAIN__FULL_RETRAIN_EVERY_DAYS", "1")
    for number in (3, 4):
        write_day(settings, number)
    before = render(day(4), load_settings())["metadata"]["name"]
    change(settings, 1, "label", table_version=7)
    assert render(day(4), load_settings())["metadata"]["name"] != before


def test_other_settings_of_the_training_rename_a_job_and_other_nodes_change_its_digest_only(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = render(day(2), settings)["metadata"]
    monkeypatch.setenv("ESMM_KUBEFLOW__NODES", "2")
    more_nodes = render(day(2), load_settings())["metadata"]
    assert before["name"] == more_nodes["name"]
    assert before["annotations"] != more_nodes["annotations"]
    monkeypatch.setenv("ESMM_TRAIN__SEED", "7")
    assert render(day(2), load_settings())["metadata"]["name"] != before["name"]


def test_a_day_that_is_not_ready_has_no_manifest(settings: Settings) -> None:
    with pytest.raises(MissingInputError, match=r"aggregate of 2024-05-03 has not run; run `esmm aggregate 2024-05-03` first"):
        render(day(3), settings)


def test_where_a_day_is_trained_is_no_part_of_the_fingerprint(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESMM_TRAIN__WHERE", "kubeflow")
    assert load_settings().fingerprint == settings.fingerprint


@pytest.mark.parametrize("server", ["http://10.0.0.1:8080", "ftp://127.0.0.1", "kubernetes", "https://", "http://127.0.0.1.example.com"])
def test_a_token_travels_under_tls_or_on_loopback_only(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    assert environment
    monkeypatch.setenv("ESMM_KUBEFLOW__SERVER", server)
    with pytest.raises(SettingsError, match=r"kubeflow.server: .*expected https://HOST, or http:// on loopback"):
        load_settings()


def test_the_command_finds_the_variables_of_the_runtime_and_fails_as_training_does(settings: Settings) -> None:
    manifest = render(day(2), settings)
    Records(settings.root).remove(day(2), "aggregate")
    pet = {"NNODES": "1", "NPROC_PER_NODE": "1", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {**os.environ, **variables(manifest), **{f"PET_{name}": value for name, value in pet.items()}, "PATH": path}
    run = subprocess.run(
        manifest["spec"]["trainer"]["command"],
        env=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1
    assert "MissingInputError: " in run.stdout, run.stdout
    assert "ChildFailedError" in run.stdout
