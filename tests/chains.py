"""Days of the chain as records alone, written by hand."""

import json
import os
from datetime import UTC, date, datetime, timedelta
from typing import Any

from components.checkpoints import CheckpointStore
from components.promote.versions import Model
from components.records import Record, Records, write_text
from components.settings import Settings
from tests.conftest import FIRST


def day(number: int) -> date:
    return FIRST + timedelta(days=number - 1)


def version(number: int, content: str = "a") -> str:
    return f"{day(number)}-{content * 12}"


def write_day(
    settings: Settings, number: int, *, parent: str | None = None, content: str = "a", labels: str = "", outcomes: int = 0
) -> None:
    """Record a whole day of the chain that begins on day 1, the features of the days before being of the labels that are recorded now."""
    records, when = Records(settings.root), day(number)
    fingerprint = labels or f"labels-of-{number}"
    window = {}
    for before in (day(earlier) for earlier in range(max(1, number - 29), number)):
        labelled, relabelled = records.read(before, "label"), records.read(before, "relabel")
        if labelled and relabelled:
            window[str(before)] = f"{labelled['fingerprint']} {relabelled['table_version']}"
    written: dict[str, Record] = {
        **{f"ingest-{kind}": {"table_version": number} for kind in settings.profile.kinds},
        "label": {"fingerprint": fingerprint},
        "validate": {"fingerprint": fingerprint, "success": True},
        "relabel": {"fingerprint": fingerprint, "table_version": outcomes or number},
        "aggregate": {"window": {**window, str(when): f"{fingerprint} {outcomes or number}"}},
        "publish": {},
        "train": {"version": version(number, content), "parent": parent or (version(number - 1) if number > 1 else None)},
        "evaluate": {},
        "promote": {"challenger": version(number, content), "verdict": "promote"},
    }
    for place, (step, record) in enumerate(written.items()):
        records.write(when, step, record)
        os.utime(records.path(when, step), ns=(0, 1_000_000 + place))
    store = CheckpointStore(settings.root)
    write_text(store.folder / version(number, content) / "manifest.json", json.dumps({"settings": settings.fingerprint}))
    write_text(store.folder / "heads" / f"{when}.json", json.dumps({"day": str(when), "version": version(number, content)}) + "\n")


def change(settings: Settings, number: int, step: str, **values: Any) -> None:
    """Give a record other values, as of the same time."""
    path = Records(settings.root).path(day(number), step)
    times = path.stat().st_mtime_ns
    write_text(path, json.dumps({**json.loads(path.read_text()), **values}))
    os.utime(path, ns=(0, times))


def forget(settings: Settings, number: int, *forgotten: str) -> None:
    for step in forgotten:
        Records(settings.root).remove(day(number), step)


def forget_day(settings: Settings, number: int) -> None:
    forget(settings, number, *Records(settings.root).read_day(day(number)))
    (CheckpointStore(settings.root).folder / "heads" / f"{day(number)}.json").unlink()


def run_again(settings: Settings, number: int, step: str) -> None:
    os.utime(Records(settings.root).path(day(number), step), ns=(0, 2_000_000))


def model(number: int, content: str = "a") -> Model:
    return Model(
        version=version(number, content),
        day=day(number),
        parent="",
        verdict="promote",
        reason="",
        aliases=("champion",),
        created_at=datetime(2024, 5, 9, tzinfo=UTC),
        promoted=True,
        rolled_back="",
        superseded_by="",
        tags={},
        number=number,
    )
