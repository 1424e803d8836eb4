"""The checkpoint store: tensors as safetensors, everything else as one JSON manifest; written aside, published by one rename.

`<home>/checkpoints/<version>/{model.safetensors, optimizer.safetensors, manifest.json}` never changes once published;
`<home>/checkpoints/heads/<day>.json` names the version trained for a day.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import CheckpointError
from components.records import write_text

if TYPE_CHECKING:
    from torch import Tensor

Manifest = dict[str, Any]
_MANIFEST = "manifest.json"
_TENSORS = ("model.safetensors", "optimizer.safetensors")
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}-[0-9a-f]{12}")
_ASIDE = ".aside-"
_REPAIR = "train that day again, or restore the folder from a copy"


@dataclass(frozen=True)
class Checkpoint:
    """Parameters, optimizer state and what was recorded about them. `manifest` must be JSON-able."""

    model: "dict[str, Tensor]"
    optimizer: "dict[str, Tensor]"
    manifest: Manifest

    @property
    def version(self) -> str | None:
        """The name under which it was loaded; None for one that has not been saved."""
        version: str | None = self.manifest.get("version")
        return version


class CheckpointStore:
    """The checkpoints under one home."""

    def __init__(self, home: Path) -> None:
        """Name the place; nothing is created yet."""
        self.folder = home / "checkpoints"

    def save(self, day: date, checkpoint: Checkpoint) -> str:
        """Publish a checkpoint and make it the head of its day; return its version.

        The version is the day and the content id: SHA-256 over the tensor files' SHA-256, the parent's version and the settings'
        fingerprint. A version that exists and is whole is left as it is. A save that is killed publishes nothing.
        """
        with self._lock():
            aside = Path(tempfile.mkdtemp(dir=self.folder, prefix=_ASIDE))
            try:
                version = _write(aside, day, checkpoint)
                self._publish(aside, version)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
            write_text(self._head(day), _render_head(day, version))
        return version

    def load(self, version: str) -> Checkpoint:
        """Read a checkpoint, verified; raises CheckpointError naming the file that is missing, extra, torn or altered."""
        from safetensors.torch import load_file

        manifest = self.verify(version)
        model, optimizer = (load_file(self.folder / version / name) for name in _TENSORS)
        return Checkpoint(model, optimizer, manifest)

    def verify(self, version: str) -> Manifest:
        """Check every file of a version against its SHA-256 and return its manifest; raises CheckpointError naming the file."""
        folder = self.folder / version
        if not _VERSION.fullmatch(version) or not folder.is_dir():
            raise CheckpointError(f"{folder}: no such checkpoint; {_REPAIR}")
        found = {path.name for path in folder.iterdir()}
        for name in sorted({_MANIFEST, *_TENSORS} - found):
            raise CheckpointError(f"{folder / name}: missing; {_REPAIR}")
        for name in sorted(found - {_MANIFEST, *_TENSORS}):
            raise CheckpointError(f"{folder / name}: not part of the checkpoint; remove it")
        manifest = _read_manifest(folder / _MANIFEST)
        for name in _TENSORS:
            _compare(folder / name, expected=manifest["files"][name], found=_sha256(folder / name))
        _compare(folder / _MANIFEST, expected=version, found=_version(manifest))
        return manifest

    def head(self, day: date) -> str | None:
        """Return the version trained for a day, or None where the day was not trained."""
        path = self._head(day)
        try:
            text = path.read_bytes()
            version: str = json.loads(text)["version"]
            whole = _render_head(day, version).encode() == text and version.startswith(f"{day}-")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            raise CheckpointError(f"{path}: altered since it was written; {_REPAIR}")
        return version

    def days(self) -> list[date]:
        """Return the days that have a head, ascending."""
        return sorted(date.fromisoformat(path.stem) for path in (self.folder / "heads").glob("[0-9]*.json"))

    def _head(self, day: date) -> Path:
        return self.folder / "heads" / f"{day}.json"

    def _publish(self, aside: Path, version: str) -> None:
        target = self.folder / version
        if target.exists():
            try:
                self.verify(version)
                return
            except CheckpointError:  # training the day again is the repair
                target.rename(self.folder / f"{_ASIDE}torn-{version}")
        aside.rename(target)
        _sync(self.folder)
        self._clean()

    def _clean(self) -> None:
        """Remove what killed saves left; only under the lock, so never what another save is writing."""
        for leftover in self.folder.glob(f"{_ASIDE}*"):
            shutil.rmtree(leftover)
        for leftover in (self.folder / "heads").glob(".*"):
            leftover.unlink()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released by the system when the process ends, however it ends
            self._clean()
            yield


def _write(aside: Path, day: date, checkpoint: Checkpoint) -> str:
    from safetensors.torch import save_file

    for name, tensors in zip(_TENSORS, (checkpoint.model, checkpoint.optimizer), strict=True):
        save_file(tensors, aside / name)
        _sync(aside / name)
    files = {name: _sha256(aside / name) for name in _TENSORS}
    manifest = {**checkpoint.manifest, "day": str(day), "files": files}
    manifest["version"] = _version(manifest)
    write_text(aside / _MANIFEST, _render(manifest))
    _sync(aside)
    version: str = manifest["version"]
    return version


def _version(manifest: Mapping[str, Any]) -> str:
    identity = {"files": manifest["files"], "parent": manifest.get("parent"), "settings": manifest.get("settings")}
    content = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{manifest['day']}-{content[:12]}"


def _render_head(day: date, version: str) -> str:
    return json.dumps({"day": str(day), "version": version}) + "\n"


def _render(manifest: Manifest) -> str:
    """Return the manifest's text, which carries the SHA-256 of the rest of itself."""
    body = {name: value for name, value in manifest.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()
    return json.dumps({**body, "sha256": digest}, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _read_manifest(path: Path) -> Manifest:
    text = path.read_bytes()
    try:
        manifest: Manifest = json.loads(text)
        whole = _render(manifest).encode() == text
    except (ValueError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise CheckpointError(f"{path}: altered since it was written (its own SHA-256 differs); {_REPAIR}")
    return manifest


def _compare(path: Path, *, expected: str, found: str) -> None:
    if found != expected:
        raise CheckpointError(f"{path}: altered since it was written: expected {expected}, found {found}; {_REPAIR}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Force a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
