"""Raw files in any pieces, formats and order, some of them a day late and twice, become the same bytes through ingest and the lake."""

import random
from pathlib import Path

import polars as pl
import pytest

from components import steps
from components.inputs import midnight
from components.settings import load_settings
from tests.label.generated import ONE_DAY, change, make_case, once, pool
from tests.label.logs import DAY, END, KINDS, SCHEMAS

PROFILE = """name = "cases"
fields = []
[clock]
unit = "iso"
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a profile whose raw columns have the canonical names."""
    path, text = tmp_path_factory.mktemp("deliveries") / "profile.toml", PROFILE
    for kind in KINDS:
        columns = ", ".join(f'{name} = "{name}"' for name in SCHEMAS[kind] if name not in ("arrived_on", "scene"))
        context = 'context = { scene = "string" }' if kind == "impressions" else ""
        text += f"[{kind}]\ncolumns = {{ {columns} }}\n{context}\n"
    path.write_text(text, encoding="utf-8")
    return path


def deliver(rows: pl.DataFrame, folder: Path, draw: random.Random, files: int) -> None:
    """Write all rows to the first of some files and, in another order, a part of them to each of the others."""
    folder.mkdir(parents=True)
    for number in range(files):
        some = rows.sample(fraction=draw.random() if number else 1, shuffle=files > 1, seed=draw.randrange(1000))
        if number % 2:
            some.with_columns(pl.selectors.temporal().dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")).write_ndjson(folder / f"{number}.ndjson")
        else:
            some.write_parquet(folder / f"{number}.parquet")


@pytest.mark.parametrize("seed", range(4))
def test_any_delivery_of_raw_files_gives_the_same_bytes(seed: int, profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    cases = change(once([make_case(100 * seed + number) for number in range(100)]), lambda _, row: [{**row, "arrived_on": DAY}])
    logs = {kind: rows.drop("arrived_on").filter(pl.selectors.temporal() < END).collect() for kind, rows in pool(cases).items()}
    environment = {"SETTINGS": "", "DATA__PROFILE": profile, "LAKE__FILE_ROWS": 150}
    fingerprints = []
    for files in (1, 5):
        for name, value in {**environment, "HOME": tmp_path / f"{files}", "DATA__RAW": tmp_path / f"{files}" / "raw"}.items():
            monkeypatch.setenv(f"ESMM_{name}", str(value))
        settings = load_settings()
        for kind, rows in logs.items():
            late = [draw.random() < 0.3 for _ in range(rows.height)] if files > 1 else [False] * rows.height
            twice = [draw.random() < 0.5 for _ in range(rows.height)] if files > 1 else late
            deliver(rows.filter(~pl.Series(late)), settings.raw / kind / f"day={DAY}", draw, files)
            deliver(rows.filter(pl.Series(late) | pl.Series(twice)), settings.raw / kind / f"day={DAY + ONE_DAY}", draw, files)
        for day in (DAY, DAY + ONE_DAY):
            assert steps.ingest(day, settings)["kinds"][0]["quarantined"] == 0
        record = steps.label(DAY, settings, labelled_through=midnight(DAY + 2 * ONE_DAY))
        assert record["conversions"] > 10
        fingerprints.append(record["fingerprint"])
    assert fingerprints[0] == fingerprints[1]
