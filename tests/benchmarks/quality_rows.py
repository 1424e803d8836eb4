"""The rows of a real set for the quality benchmark: made by the pipeline's own steps, and the same ids as matrices for the peers."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components import steps
from components.experiment.worlds import Rows
from components.inputs import ONE_DAY, assembled, midnight
from components.model.encoding import Encoded, Layout, encode
from components.records import write_text
from components.settings import Settings, load_settings

_STEPS = (steps.ingest, steps.label, steps.validate, steps.relabel, steps.aggregate)
Ids = NDArray[np.int32]


@dataclass(frozen=True)
class LogSet:
    """Days of a set: trained on what comes before an instant, tested on the rest."""

    name: str
    first: date
    test: datetime
    """The first instant of the test."""
    last: date


SETS = {
    logs.name: logs
    for logs in (
        LogSet("taobao", date(2017, 11, 25), test=datetime(2017, 12, 2, tzinfo=UTC), last=date(2017, 12, 3)),
        LogSet("trivago", date(2018, 11, 7), test=datetime(2018, 11, 8, 12, tzinfo=UTC), last=date(2018, 11, 8)),
        LogSet("online_ads", date(2020, 4, 1), test=datetime(2020, 4, 7, tzinfo=UTC), last=date(2020, 4, 10)),
        LogSet("ali_ccp", date(2024, 5, 1), test=datetime(2024, 5, 2, tzinfo=UTC), last=date(2024, 5, 2)),
    )
}
"""trivago's first day has no features of the day before, so half of its second is trained on too; online_ads, 27 k impressions a day, is
cut off after ten days. ali_ccp is `esmm convert ali-ccp SRC OUT --days 1`, OUT of that name: its training rows are the first day, its test
rows the second."""
AT_HAND = ("taobao", "trivago", "online_ads")


def settings_of(logs: LogSet, source: Path, folder: Path) -> Settings:
    """Return the pipeline's settings for a set, its home under `folder`; puts them into the environment."""
    own = {"ESMM_HOME": folder / "home", "ESMM_DATA__RAW": source / logs.name, "ESMM_DATA__PROFILE": f"infra/profiles/{logs.name}.toml"}
    os.environ.update({name: str(value) for name, value in own.items()})
    return load_settings()


def make_rows(logs: LogSet, settings: Settings, folder: Path) -> Rows:
    """Write train.parquet and test.parquet with labels as the end of the last day knows them.

    What is there already is left. Features are production's: what the day before knew.
    """
    rows = Rows(folder)
    if rows.facts.exists():
        return rows
    for number in range((logs.last - logs.first).days + 1):
        for step in _STEPS:
            step(logs.first + number * ONE_DAY, settings)
    end = midnight(logs.last + ONE_DAY)
    for path, first, until in ((rows.train, midnight(logs.first), logs.test), (rows.test, logs.test, end)):
        assembled(logs.last, settings, first=first, end=until).sink_parquet(path)
    counts = (pl.len().alias("rows"), pl.col("clicked", "converted").sum())
    parts = {"train": rows.train, "test": rows.test}
    facts = {name: pl.scan_parquet(path).select(counts).collect().row(0, named=True) for name, path in parts.items()}
    write_text(rows.facts, json.dumps({"first": str(logs.first), "test_from": str(logs.test), "last": str(logs.last), **facts}, indent=1))
    return rows


def make_matrices(rows: Rows, settings: Settings) -> None:
    """Write `peers.npz` and `peers.json`, where they are not there."""
    if not (rows.folder / "peers.json").exists():
        frames = {"train": pl.read_parquet(rows.train), "test": pl.read_parquet(rows.test)}
        write_matrices(frames, Layout.of(settings.profile), rows.folder)


def write_matrices(frames: Mapping[str, pl.DataFrame], layout: Layout, folder: Path) -> None:
    """Write the row numbers that our network reads, renumbered from 1 in each table, 0 padding: rows that no sample has are left out.

    peers.npz: `<part>/<field>`, int32 [N] or, of a list, [N, longest]; `<part>/labels`, float32 [N, 2], clicked and converted.
    peers.json: the fields, with the table each reads and the rows of it.
    """
    train, test = frames["train"], frames["test"]
    parts = {"train": slice(0, train.height), "test": slice(train.height, None)}
    matrices: dict[str, NDArray[Any]] = {
        f"{part}/labels": frames[part].select(pl.col("clicked", "converted").cast(pl.Float32)).to_numpy() for part in parts
    }
    raw = _fields(encode(pl.concat([frame.select(layout.columns) for frame in (train, test)]), layout), layout)
    used = {
        table: np.unique(np.concatenate([ids[ids >= 0] for name, ids in raw.items() if layout.named[name].vocabulary == table]))
        for table in layout.vocabularies
    }
    for name, ids in raw.items():
        places = np.where(ids >= 0, np.searchsorted(used[layout.named[name].vocabulary], ids) + 1, 0).astype(np.int32)
        matrices.update({f"{part}/{name}": places[rows] for part, rows in parts.items()})
    np.savez(folder / "peers.npz", **matrices)
    fields = [{"name": field.name, "table": field.vocabulary, "rows": len(used[field.vocabulary]) + 1} for field in layout.ordered]
    write_text(folder / "peers.json", json.dumps(fields, indent=1) + "\n")


def _fields(samples: Encoded, layout: Layout) -> dict[str, Ids]:
    """Return each field's row numbers, [N]; of a list [N, longest], -1 behind its end."""
    singles = {field.name: samples.ids_NS[:, place].astype(np.int32) for place, field in enumerate(layout.singles)}
    lists = len(layout.lists)
    starts_NL = samples.offsets_NL[:-1].reshape(len(samples), lists) if lists else np.empty((len(samples), 0), np.int64)
    lengths_NL = np.diff(samples.offsets_NL).reshape(starts_NL.shape)
    return {**singles, **{field.name: _padded(samples, starts_NL[:, n], lengths_NL[:, n]) for n, field in enumerate(layout.lists)}}


def _padded(samples: Encoded, starts_N: NDArray[np.int64], lengths_N: NDArray[np.int64]) -> Ids:
    places_T = np.arange(max(1, int(lengths_N.max(initial=0))))
    live_NT = places_T < lengths_N[:, None]
    values_E = np.append(samples.values_E, -1)
    return np.where(live_NT, values_E[np.where(live_NT, starts_N[:, None] + places_T, -1)], -1).astype(np.int32)
