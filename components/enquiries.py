"""What an operator asks of a home: is a day ready, what was kept out, the report of a day; and what may be thrown away."""

import logging
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from components.disk import scratch_folder
from components.errors import MissingInputError, NotReadyError
from components.inputs import deadline, open_lake, samples_as_of
from components.profile import Kind
from components.records import Record, Records, write_text
from components.settings import Settings
from components.tables import QUARANTINE, SAMPLES

log = logging.getLogger("esmm")


def ready(day: date, settings: Settings) -> Record:
    """Look whether the logs of `day` have all arrived, as the profile's `[arrival]` asks; raises NotReadyError with what is missing.

    Its record remembers what was read, so that the next look reads new files only.
    """
    from components.ingest.arrival import look
    from components.ingest.columns import Target

    records = Records(settings.root)
    seen, looks = (records.read(day, "ready") or {"files": {}})["files"], {}
    with scratch_folder(settings.root / "scratch") as scratch:
        for kind in settings.profile.kinds:
            folder, target = settings.raw / kind / f"day={day}", Target(kind, day, settings.profile)
            looks[kind] = look(folder, target, seen.get(kind, {}), scratch=scratch, chunk_rows=settings.ingest.chunk_rows)
    missing = {kind: found.missing for kind, found in looks.items() if found.missing}
    record = {"day": str(day), "ready": not missing}
    records.write(day, "ready", {**record, "missing": missing, "files": {kind: found.files for kind, found in looks.items()}})
    if missing:
        until, said = deadline(day, settings), "; ".join(f"{kind}: {what}" for kind, what in missing.items())
        late = f"the deadline {until:%Y-%m-%dT%H:%MZ} has passed: have them delivered, or correct data.raw or the profile's [arrival]"
        move = late if datetime.now(UTC) >= until else f"wait for the delivery, until {until:%Y-%m-%dT%H:%MZ} at the latest"
        raise NotReadyError(f"{day} is not ready: {said}; {move}, then run `esmm ready {day}`")
    return record


def arrived(day: date, settings: Settings) -> bool:
    """Tell whether the logs of `day` have all arrived; raises NotReadyError where they have not and the deadline has passed."""
    try:
        return bool(ready(day, settings)["ready"])
    except NotReadyError as error:
        if datetime.now(UTC) >= deadline(day, settings):
            raise
        log.info("%s", error)
        return False


def quarantine(day: date, settings: Settings, *, kind: Kind | None = None, limit: int = 50) -> Record:
    """List the raw rows of `day` that were kept out: how many per kind and reason, and the first `limit` of them."""
    from components.ingest.quarantine import count_reasons, first_rows

    for known in [kind] if kind else settings.profile.kinds:
        Records(settings.root).require(day, f"ingest-{known}")
    rows = open_lake(settings).scan(QUARANTINE, day).filter(pl.col("kind") == kind if kind else True)
    return {"day": str(day), "counts": count_reasons(rows), "rows": first_rows(rows, limit)}


def report(day: date, settings: Settings) -> Path:
    """Write the day's report page from what its steps recorded, and the Data Docs of a day that passed; returns the page's path."""
    from components.evaluate.report import ReportInputs, render
    from components.ingest.quarantine import count_reasons

    records = Records(settings.root)
    days = [known for known in records.days() if known <= day]
    if day not in days:
        raise MissingInputError(f"{records.folder}: nothing has run for {day}; run `esmm run {day}` first")
    samples = samples_as_of(day, day, settings) if records.read(day, "label") else open_lake(settings).scan(SAMPLES, day)
    delays = samples.filter("converted").select((pl.col("converted_at") - pl.col("clicked_at")).dt.total_seconds())
    found = [(known, records.read_day(known)) for known in days]
    path = settings.root / "reports" / f"day={day}" / "index.html"
    inputs = ReportInputs(
        day=day,
        records=found[-1][1],
        history=found[:-1],
        delays_s=delays.collect(engine="streaming").to_series(),
        reasons=count_reasons(open_lake(settings).scan(QUARANTINE, day)),
        page=path,
    )
    write_text(path, render(inputs))
    _complete_docs(day, settings)
    return path


def _complete_docs(day: date, settings: Settings) -> None:
    """Let Great Expectations write the pages of a day that passed, all its tables, unless they are there and newer than the verdicts."""
    from components.validate.docs import write_docs
    from components.validate.failures import Failure

    records, docs = Records(settings.root), settings.root / "docs" / f"day={day}"
    validated = records.read(day, "validate")
    if not validated or not validated["success"]:
        return
    judged = [step for step in ("validate", "validate-features", "validate-predictions") if records.path(day, step).exists()]
    newest = max(records.path(day, step).stat().st_mtime_ns for step in judged)
    if (docs / "validations").exists() and (docs / "index.html").stat().st_mtime_ns > newest:
        return
    found = [records.require(day, step) for step in judged]
    failures = [Failure(**failure) for record in found for failure in record["failures"]]
    write_docs([record["profile"] for record in found], failures, docs, frames={}, settings=settings)


def vacuum(settings: Settings) -> Record:
    """Remove the files that newer versions of the tables replaced longer ago than `lake.keep`."""
    return {"removed": open_lake(settings).vacuum(settings.lake.keep)}
