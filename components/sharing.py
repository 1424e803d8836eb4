"""A day's work in shares, for several processes or machines: each user bucket's part first, then what one task commits.

Label and relabel: `attribute` finds the outcomes of a bucket's impressions, `lay` writes some of the samples' files, the step commits.
Aggregate: `prepare` sums up a bucket's users, the step merges and writes. A step does whatever share it does not find, or finds made from
other inputs: so a rerun by hand, or a task that came too early, is right all the same.
"""

import json
import logging
import uuid
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from components.buckets import WHOLE, Bucket
from components.disk import scratch_folder
from components.errors import DataError
from components.inputs import ONE_DAY, arrivals, days_in_window, midnight, open_lake, require_valid, samples_as_of
from components.lake import Draft, DraftFile, Stored
from components.records import Records
from components.settings import Settings
from components.staged import Staged
from components.tables import EVENTS, IMPRESSIONS, SAMPLES

if TYPE_CHECKING:
    from components.aggregate.snapshots import Snapshots
    from components.label.contest import Logs
    from components.label.events import Labelling

log = logging.getLogger("esmm")
Step = Literal["label", "relabel"]
_STEM, _DRAFT = "stem", "draft.json"


def labellings(day: date, step: Step, settings: Settings, *, through: datetime | None = None) -> "list[Labelling]":
    """Return what a step of a day labels: the day itself, or each labelled day in the window before it.

    through: the cut-off of `label`; the day's end when not given, and for `relabel`. Raises DataError for one before the day's end.
    """
    from components.label.events import Labelling

    end = midnight(day + ONE_DAY)
    if step == "label":
        cut_off = through or end
        if cut_off < end:
            raise DataError(
                f"label {day}: --labelled-through {cut_off.isoformat()} is before the day's end; choose {day + ONE_DAY} or later"
            )
        return [Labelling(day, cut_off, settings.labels)]
    earlier = (when for when in days_in_window(day, settings) if Records(settings.root).read(when, "label"))
    return [Labelling(when, end, settings.labels) for when in earlier]


def attribute(day: date, settings: Settings, *, step: Step, bucket: int) -> None:
    """Find the outcomes of one bucket's impressions, for `lay`."""
    from components.label.samples import attribute as find

    share = Bucket(bucket, settings.work.buckets)
    for labelling in labellings(day, step, settings):
        with _outcomes(day, step, labelling, settings).put(share) as folder, scratch_folder(settings.root / "scratch") as scratch:
            held = max(1, settings.lake.file_rows // 2)  # attribution needs what was clicked several times over
            found = find(_events(labelling, settings)[0], labelling, share, held=held, scratch=scratch)
            found.write(folder)
            (folder / _STEM).write_text(str(uuid.uuid4()), encoding="ascii")
        log.info("%s %s: found the outcomes of bucket %s of %s", step, day, share, labelling.day)


def lay(day: date, settings: Settings, *, step: Step, bucket: int) -> None:
    """Write one in `work.buckets` of the samples' files, for the step to commit; nothing where a bucket's outcomes are missing."""
    share = Bucket(bucket, settings.work.buckets)
    for labelling in labellings(day, step, settings):
        found = _outcomes(day, step, labelling, settings).look(share.count)
        if not found:
            log.warning("%s %s: no outcomes of all %d buckets of %s; the step will find them itself", step, day, share.count, labelling.day)
            continue
        with _files(day, step, labelling, settings).put(share) as folder:
            draft = _lay(found, labelling, settings, share)
            (folder / _DRAFT).write_text(json.dumps([asdict(file) for file in draft.files]), encoding="utf-8")
        log.info("%s %s: wrote part %s of the samples of %s", step, day, share, labelling.day)


def write_samples(day: date, step: Step, labelling: "Labelling", settings: Settings, *, scratch: Path) -> Draft:
    """Return the samples of one labelling, written and not committed: from the shares where they are all there, else made here."""
    from components.label.samples import label_samples

    count = settings.work.buckets
    if count > 1:
        files, outcomes = _files(day, step, labelling, settings), _outcomes(day, step, labelling, settings)
        drafted = files.take(count, scratch)
        found = outcomes.take(count, scratch)
        if drafted:
            written = [DraftFile(**file) for folder in drafted for file in json.loads((folder / _DRAFT).read_text(encoding="utf-8"))]
            return open_lake(settings).gather(SAMPLES, labelling.day, written)
        if found:
            return _lay(found, labelling, settings, WHOLE)
        log.warning("%s %s: no shares of %d buckets for %s; doing all of it here", step, day, count, labelling.day)
    events, stored = _events(labelling, settings)
    samples = label_samples(events, labelling, file_rows=settings.lake.file_rows, scratch=scratch)
    return open_lake(settings).write(SAMPLES, labelling.day, samples, beside=stored)


def prepare(day: date, settings: Settings, *, bucket: int) -> None:
    """Sum up the users of one bucket, for `aggregate`."""
    require_valid(day, settings)
    Records(settings.root).require(day, "relabel")
    share = Bucket(bucket, settings.work.buckets)
    with _users(day, settings).put(share) as folder:
        snapshots(settings).prepare(day, share, folder)
    log.info("aggregate %s: summed up bucket %s", day, share)


def prepared(day: date, settings: Settings, scratch: Path) -> list[Path]:
    """Return the folders of all buckets' sums: the shares where they are all there, else made here."""
    count = settings.work.buckets
    folders = _users(day, settings).take(count, scratch) if count > 1 else []
    if not folders:
        folders = [scratch / "whole"]
        folders[0].mkdir()
        snapshots(settings).prepare(day, WHOLE, folders[0])
    return folders


def snapshots(settings: Settings) -> "Snapshots":
    """Open what computes features, each day's from its samples as they were labelled on it."""
    from components.aggregate.snapshots import Snapshots

    return Snapshots(open_lake(settings), Records(settings.root), settings, lambda when: samples_as_of(when, when, settings))


def _lay(outcomes: list[Path], labelling: "Labelling", settings: Settings, part: Bucket) -> Draft:
    """Write the files of a part of a day's samples; their names tell their order among all parts' files."""
    from components.label.attributed import Attributed, merge
    from components.label.samples import lay as slices

    found = merge([Attributed.read(folder) for folder in outcomes])
    stem = (outcomes[0] / _STEM).read_text(encoding="ascii")
    events, stored = _events(labelling, settings)
    rows = slices(found, events, labelling, file_rows=settings.lake.file_rows, part=part)
    return open_lake(settings).write_numbered(SAMPLES, labelling.day, rows, stem=stem, beside=stored)


def _events(labelling: "Labelling", settings: Settings) -> "tuple[Logs, Stored]":
    """Read the events that a labelling may see, and name the files of the impressions that arrived on its day."""
    lake = open_lake(settings)
    stored = lake.stored(IMPRESSIONS, labelling.day)
    events = arrivals(labelling.day, (labelling.through - timedelta(microseconds=1)).date(), settings)
    if lake.stored(IMPRESSIONS, labelling.day) != stored:
        raise DataError(f"label {labelling.day}: expected the impressions to stand, found them ingested again meanwhile; rerun the step")
    return events, stored


def _outcomes(day: date, step: Step, labelling: "Labelling", settings: Settings) -> Staged:
    return Staged(settings.root, day, step, f"outcomes-{labelling.day}", _basis(labelling, settings))


def _files(day: date, step: Step, labelling: "Labelling", settings: Settings) -> Staged:
    """Name the files' shares after the outcomes they were made of, so that those of an earlier attempt are not taken."""
    outcomes = _outcomes(day, step, labelling, settings)
    stems = [(share / _STEM).read_text(encoding="ascii") for share in outcomes.look(settings.work.buckets)[:1]]
    return Staged(settings.root, day, step, f"files-{labelling.day}", [*_basis(labelling, settings), *stems])


def _basis(labelling: "Labelling", settings: Settings) -> list[Any]:
    """Return what decides the outcomes of a labelling and their shares."""
    lake, last = open_lake(settings), (labelling.through - timedelta(microseconds=1)).date()
    events = [lake.files(table, labelling.day, last) for table in EVENTS.values()]
    return [pl.__version__, labelling.through.isoformat(), settings.labels.model_dump(mode="json"), settings.lake.file_rows, events]


def _users(day: date, settings: Settings) -> Staged:
    """Name the shares of `aggregate` after all that a day's features are made of."""
    basis = [pl.__version__, snapshots(settings).plan(day).told, settings.aggregate.model_dump(mode="json")]
    return Staged(settings.root, day, "aggregate", "users", basis)
