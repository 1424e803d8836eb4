"""What the tasks that share a day's work hand to the one that commits it: folders under `<home>/staged`, each whole or absent.

A folder is named after what it was made from, so that it is taken only for the very same work.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

from components.buckets import Bucket
from components.disk import scratch_folder


class Staged:
    """The shares of one piece of work."""

    def __init__(self, home: Path, day: date, step: str, name: str, basis: Any) -> None:
        """Name the piece: of the run of `day`, of a step, by `name` within it. basis: what decides the shares, as JSON can hold it."""
        told = json.dumps(basis, sort_keys=True, default=str)
        self.piece = home / "staged" / f"day={day}" / step / name
        self.folder = self.piece / hashlib.sha256(told.encode()).hexdigest()
        self.scratch = home / "scratch"

    @contextmanager
    def put(self, share: Bucket) -> Iterator[Path]:
        """Give an empty folder, which becomes the share when the block ends well; earlier ones, and those of another basis, go."""
        with scratch_folder(self.scratch) as scratch:
            made = scratch / "made"
            made.mkdir()
            yield made
            self.folder.mkdir(parents=True, exist_ok=True)
            for other in self.piece.iterdir():
                if other != self.folder:
                    shutil.rmtree(other, ignore_errors=True)
            with suppress(FileNotFoundError):
                self._path(share).rename(scratch / "earlier")
            made.rename(self._path(share))

    def take(self, count: int, scratch: Path) -> list[Path]:
        """Move all `count` shares into `scratch`, so that nobody else takes them; returns them in order, or none where one is missing."""
        shares = [self._path(Bucket(number, count)) for number in range(count)]
        if not all(share.is_dir() for share in shares):
            return []
        taken = scratch / self.piece.name
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            self.folder.rename(taken)
        except FileNotFoundError:  # another process was first
            return []
        return [taken / share.name for share in shares]

    def look(self, count: int) -> list[Path]:
        """Return all `count` shares in order, left where they are; none where one is missing."""
        shares = [self._path(Bucket(number, count)) for number in range(count)]
        return shares if all(share.is_dir() for share in shares) else []

    def _path(self, share: Bucket) -> Path:
        return self.folder / f"{share.number:05}-of-{share.count:05}"
