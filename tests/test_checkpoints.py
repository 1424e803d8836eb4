"""The checkpoint store: whole or refused by name."""

import json
import random
import shutil
from datetime import date
from pathlib import Path

import pytest
import torch

from components import checkpoints
from components.checkpoints import Checkpoint, CheckpointStore
from components.errors import CheckpointError

FIRST, SECOND = date(2024, 5, 1), date(2024, 5, 2)
FILES = ["model.safetensors", "optimizer.safetensors", "manifest.json"]


def checkpoint_of(*, scale=1.0, parent=None, **manifest):
    model = {"table": torch.arange(12.0).view(4, 3) * scale, "ctr_tower.0.bias": torch.ones(2)}
    return Checkpoint(model, {"table.accumulator": torch.zeros(4)}, {"parent": parent, "settings": "f" * 64, "rows": 10, **manifest})


@pytest.fixture
def store(tmp_path) -> CheckpointStore:
    return CheckpointStore(tmp_path)


def test_what_is_saved_is_loaded(store):
    saved = checkpoint_of(losses={"ctr": 0.25})
    version = store.save(FIRST, saved)
    loaded = store.load(version)
    for tensors, others in ((loaded.model, saved.model), (loaded.optimizer, saved.optimizer)):
        assert tensors.keys() == others.keys()
        assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    assert (loaded.version, loaded.manifest["rows"], loaded.manifest["losses"]) == (version, 10, {"ctr": 0.25})
    assert version.startswith("2024-05-01-")
    assert sorted(path.name for path in (store.folder / version).iterdir()) == sorted(FILES)


def test_heads_name_the_version_of_each_day(store):
    assert (store.head(FIRST), store.days()) == (None, [])
    second = store.save(SECOND, checkpoint_of(scale=2.0))
    first = store.save(FIRST, checkpoint_of())
    assert (store.head(FIRST), store.head(SECOND), store.days()) == (first, second, [FIRST, SECOND])
    again = store.save(FIRST, checkpoint_of(scale=3.0))
    assert store.head(FIRST) == again != first
    store.verify(first)  # superseded, not removed


def test_versions_follow_tensors_parent_and_settings_but_no_clock_or_table_version(store):
    versions = [
        store.save(FIRST, checkpoint_of()),
        store.save(FIRST, checkpoint_of(scale=2.0)),
        store.save(FIRST, checkpoint_of(parent="2024-04-30-aaaaaaaaaaaa")),
        store.save(FIRST, checkpoint_of(settings="e" * 64)),
    ]
    assert len(set(versions)) == 4
    assert store.save(FIRST, checkpoint_of(table_versions={"samples": 7})) == versions[0]


def test_an_identical_version_is_left_as_it_is(store):
    version = store.save(FIRST, checkpoint_of(table_versions={"samples": 1}))
    before = {name: (store.folder / version / name).stat().st_mtime_ns for name in FILES}
    store.save(FIRST, checkpoint_of(table_versions={"samples": 2}))
    assert {name: (store.folder / version / name).stat().st_mtime_ns for name in FILES} == before
    assert store.load(version).manifest["table_versions"] == {"samples": 1}


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_by_name(store, name):
    version = store.save(FIRST, checkpoint_of())
    (store.folder / version / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{version}/{name}: missing"):
        store.load(version)


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit_is_refused_by_name(store, name):
    version = store.save(FIRST, checkpoint_of())
    path = store.folder / version / name
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        altered = bytearray(whole)
        altered[position] ^= 1 << position % 8
        path.write_bytes(altered)
        with pytest.raises(CheckpointError, match=rf"{version}/{name}: altered"):
            store.load(version)


def test_each_of_2000_random_flips_is_refused_by_name(store):
    """In any file, those of the head included: whoever follows it reads nothing that was altered."""
    version = store.save(FIRST, checkpoint_of(losses={"ctr": 0.25}))
    paths = [*(store.folder / version / name for name in FILES), store.folder / "heads" / f"{FIRST}.json"]
    whole = {path: path.read_bytes() for path in paths}
    generator = random.Random(5)
    for path in generator.choices(paths, [len(whole[path]) for path in paths], k=2000):
        altered = bytearray(whole[path])
        altered[generator.randrange(len(altered))] ^= 1 << generator.randrange(8)
        path.write_bytes(altered)
        with pytest.raises(CheckpointError) as refused:
            store.load(store.head(FIRST))
        named = str(refused.value).split(": ")[0]
        assert named == str(path) or (path == paths[-1] and named.startswith(str(store.folder / "2024-05-01-"))), refused.value
        path.write_bytes(whole[path])
    assert store.load(store.head(FIRST)).version == version


@pytest.mark.parametrize("name", FILES)
def test_a_torn_file_is_refused_by_name(store, name):
    version = store.save(FIRST, checkpoint_of())
    path = store.folder / version / name
    for length in (0, len(path.read_bytes()) // 2):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(CheckpointError, match=rf"{version}/{name}: altered"):
            store.load(version)


def test_an_extra_file_is_refused_by_name(store):
    version = store.save(FIRST, checkpoint_of())
    (store.folder / version / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"notes\.txt: not part of the checkpoint"):
        store.load(version)


def test_files_of_another_version_are_refused(store):
    """A folder renamed, or tensors swapped with their manifest, is whole in itself and still not what the name says."""
    version, other = store.save(FIRST, checkpoint_of()), store.save(FIRST, checkpoint_of(scale=2.0))
    shutil.rmtree(store.folder / version)
    shutil.copytree(store.folder / other, store.folder / version)
    with pytest.raises(CheckpointError, match=rf"manifest.json: altered.*expected {version}, found {other}"):
        store.load(version)


@pytest.mark.parametrize("version", ["2024-05-01-000000000000", "", "..", "heads"])
def test_a_version_that_was_never_saved_is_refused(store, version):
    store.save(FIRST, checkpoint_of())
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        store.load(version)


def test_training_again_repairs_an_altered_version(store):
    version = store.save(FIRST, checkpoint_of())
    (store.folder / version / "model.safetensors").write_bytes(b"")
    assert store.save(FIRST, checkpoint_of()) == version
    assert store.load(version).model["table"].shape == (4, 3)


@pytest.mark.parametrize("stage", ["_sha256", "_render", "_sync"])
def test_an_interrupted_save_publishes_nothing(store, monkeypatch, stage):
    kept = store.save(FIRST, checkpoint_of())

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, stage, die)
    with pytest.raises(KeyboardInterrupt):
        store.save(FIRST, checkpoint_of(scale=2.0))
    monkeypatch.undo()
    assert store.head(FIRST) == kept
    assert sorted(path.name for path in store.folder.iterdir()) == [".lock", kept, "heads"]


def test_leftovers_of_a_killed_save_are_ignored_and_cleaned_by_the_next(store):
    version = store.save(FIRST, checkpoint_of())
    leftover, head = store.folder / ".aside-killed", store.folder / "heads" / ".2024-05-02.json.killed"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    head.write_text("half")
    assert (store.days(), store.load(version).version) == ([FIRST], version)
    store.save(SECOND, checkpoint_of(scale=2.0))
    assert not leftover.exists()
    assert not head.exists()


def test_a_torn_head_is_refused_by_name(store):
    store.save(FIRST, checkpoint_of())
    (store.folder / "heads" / "2024-05-01.json").write_text('{"day": ')
    with pytest.raises(CheckpointError, match=r"heads/2024-05-01\.json"):
        store.head(FIRST)


def test_a_number_that_json_has_no_word_for_is_not_saved(store):
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save(FIRST, checkpoint_of(losses={"ctr": float("nan")}))
    assert store.days() == []


def test_the_manifest_is_readable_json_with_the_sha256_of_every_file(store):
    version = store.save(FIRST, checkpoint_of())
    manifest = json.loads(Path(store.folder / version / "manifest.json").read_text())
    assert manifest["files"].keys() == {"model.safetensors", "optimizer.safetensors"}
    assert all(len(digest) == 64 for digest in [*manifest["files"].values(), manifest["sha256"]])
