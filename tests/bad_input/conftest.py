"""A landing zone written by hand, and the command line run over it."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.cli import main
from components.inputs import open_lake
from components.profile import Kind
from components.settings import load_settings
from components.tables import EVENTS

DAY = date(2024, 5, 2)
PROFILE = """
name = "shop"
fields = [{ name = "item_id", kind = "id", buckets = 64 }]

[clock]
unit = "iso"
zone = "UTC"

[impressions]
columns = { impression_id = "id", user_id = "user", item_id = "item", exposed_at = "time" }
context = { scene = "string", rank = "integer", price = "float" }

[clicks]
columns = { impression_id = "id", user_id = "user", item_id = "item", clicked_at = "time" }

[purchases]
columns = { order_id = "order", impression_id = "id", user_id = "user", item_id = "item", purchased_at = "time" }

[settings.labels]
click_window = "PT1H"
conversion_window = "P1D"
"""


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its result."""
        assert self.status == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class Zone:
    """A landing zone and a home, and how to write to the one and ask the other."""

    root: Path
    command: Callable[..., Outcome]

    def folder(self, kind: Kind = "impressions") -> Path:
        """Return the day's folder of a kind, which is made."""
        folder = self.root / "raw" / kind / f"day={DAY}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write(self, name: str, content: str | bytes, kind: Kind = "impressions") -> Path:
        """Write a raw file, compressed where its name says so."""
        plain = content.encode() if isinstance(content, str) else content
        path = self.folder(kind) / name
        path.write_bytes(gzip.compress(plain) if name.endswith(".gz") else plain)
        return path

    def amend_profile(self, *changes: tuple[str, str]) -> None:
        """Replace texts of the profile."""
        path = self.root / "raw" / "profile.toml"
        text = path.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)

    def ingest(self, kind: Kind = "impressions") -> Outcome:
        """Run `esmm ingest`."""
        return self.command("ingest", str(DAY), "--kind", kind, "--json")

    def counts(self, kind: Kind = "impressions") -> tuple[int, int]:
        """Ingest, and return the rows accepted and those quarantined."""
        record = self.ingest(kind).json
        return record["accepted"], record["quarantined"]

    def reasons(self, kind: Kind = "impressions") -> list[tuple[str, int, str]]:
        """Return file, row and reason of what `esmm quarantine` lists."""
        listed = self.command("quarantine", str(DAY), "--kind", kind, "--json").json["rows"]
        return [(row["file"], row["row"], row["reason"]) for row in listed]

    def rows(self, kind: Kind = "impressions") -> pl.DataFrame:
        """Return what is in the lake."""
        return open_lake(load_settings()).scan(EVENTS[kind], DAY).collect()

    def process(self, *arguments: str) -> Outcome:
        """Run `esmm` as a process of its own."""
        esmm = [sys.executable, "-c", "from components.cli import main; main()", *arguments]
        ran = subprocess.run(esmm, capture_output=True, text=True, timeout=500, check=False)
        return Outcome(ran.returncode, ran.stdout, ran.stderr)

    def scratch(self) -> list[Path]:
        """Return what is left of work."""
        return list((self.root / "home" / "scratch").iterdir())


@pytest.fixture
def zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Zone:
    """A landing zone with a profile and no logs."""
    monkeypatch.setenv("ESMM_SETTINGS", "")
    for name, place in (("ESMM_HOME", "home"), ("ESMM_DATA__RAW", "raw"), ("ESMM_DATA__PROFILE", "raw/profile.toml")):
        monkeypatch.setenv(name, str(tmp_path / place))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "profile.toml").write_text(PROFILE)

    def command(*arguments: str) -> Outcome:
        capsys.readouterr()
        status = 0
        try:
            main(list(arguments))
        except SystemExit as stopped:
            status = int(str(stopped.code or 0))
        return Outcome(status, *capsys.readouterr())

    return Zone(tmp_path, command)
