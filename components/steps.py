"""A day, read top to bottom: each step finds its inputs by day, calls pure functions, and writes. Knows no orchestrator.

Every step may be run again, leaves its record in `<home>/runs/day=D/`, returns it, and logs one line. Rooms are imported inside the
steps: each costs seconds, and a terminal or a scheduler pays only for the step it runs.
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from components.errors import DataError, MissingInputError, ValidationFailedError
from components.inputs import ONE_DAY, assembled, holdout_start, midnight, open_lake, parent_of, require_valid, require_verdict, with_scores
from components.profile import Kind
from components.records import Record, Records, write_text
from components.settings import Settings
from components.tables import (
    ACTIONS,
    CLICKS,
    EVENTS,
    IMPRESSIONS,
    ITEM_FEATURES,
    PREDICTIONS,
    PURCHASES,
    QUARANTINE,
    SAMPLES,
    USER_FEATURES,
)

if TYPE_CHECKING:
    from components.promote.registry import Registry

log = logging.getLogger("esmm")
Progress = Callable[[int], None]
STEPS = ("ingest", "label", "validate", "aggregate", "publish", "train", "evaluate", "promote")
_SUMS = ("rows_in", "accepted", "exact_duplicates", "conflicting_duplicates", "quarantined")


def ingest(day: date, settings: Settings) -> Record:
    """Read every kind of raw log that arrived on `day` into the event tables."""
    records = [ingest_kind(day, kind, settings) for kind in settings.profile.kinds]
    return {"day": str(day), "kinds": records, "seconds": round(sum(record["seconds"] for record in records), 2)}


def ingest_kind(day: date, kind: Kind, settings: Settings) -> Record:
    """Read one kind of raw log that arrived on `day`: accepted rows to its table, unreadable and conflicting ones to quarantine.

    A kind that the profile does not declare has no logs and no rows.
    """
    from components.ingest.logs import read_day

    if kind not in settings.profile.kinds:
        return {"day": str(day), "kind": kind, "files": [], **dict.fromkeys(_SUMS, 0), "seconds": 0.0}
    with _step(day, f"ingest-{kind}", settings) as record, _scratch(settings) as scratch:
        lake = open_lake(settings)
        folder = settings.raw / kind / f"day={day}"
        logs = read_day(folder, kind, day, profile=settings.profile, scratch=scratch, chunk_rows=settings.ingest.chunk_rows)
        for accounting in logs.accounting:
            accounting.check()
        record["quarantine_version"] = lake.replace(QUARANTINE, day, logs.quarantined, kind=kind)
        record["table_version"] = lake.replace(EVENTS[kind], day, logs.accepted)
        files = [asdict(accounting) for accounting in logs.accounting]
        record.update({"kind": kind, "files": files, **{name: sum(file[name] for file in files) for name in _SUMS}})
    return record


def label(day: date, settings: Settings, *, labelled_through: datetime | None = None) -> Record:
    """Join the day's impressions with what followed them before the cut-off (default: the day's end) into samples."""
    from components.label.samples import label_samples

    cut_off = labelled_through or midnight(day + ONE_DAY)
    if cut_off < midnight(day + ONE_DAY):
        raise DataError(f"label {day}: --labelled-through {cut_off.isoformat()} is before the day's end; choose {day + ONE_DAY} or later")
    records = Records(settings.root)
    for kind in settings.profile.kinds:
        records.require(day, f"ingest-{kind}")
    with _step(day, "label", settings) as record:
        lake = open_lake(settings)
        eve = (cut_off - timedelta(microseconds=1)).date()
        events = (lake.scan(table, day, eve) for table in (IMPRESSIONS, CLICKS, ACTIONS, PURCHASES))
        samples = label_samples(*events, day=day, labelled_through=cut_off, windows=settings.labels)
        record["table_version"] = lake.replace(SAMPLES, day, samples)
        outcomes = {"clicks": "clicked", "actions": "acted", "conversions": "converted"}
        sums = [pl.len().alias("samples"), *(pl.col(column).sum().alias(name) for name, column in outcomes.items())]
        record.update(lake.scan(SAMPLES, day).select(sums).collect(engine="streaming").row(0, named=True))
        record.update({"labelled_through": cut_off.isoformat(), "fingerprint": lake.fingerprint(SAMPLES, day)})
    return record


def validate(day: date, settings: Settings) -> Record:
    """Check the day against its suites; raises ValidationFailedError when a critical expectation fails."""
    from components.validate.suites import DayFrames, validate_day

    records = Records(settings.root)
    fingerprint = records.require(day, "label")["fingerprint"]
    lake = open_lake(settings)
    has_actions = "actions" in settings.profile.kinds
    frames = DayFrames(
        samples=lake.scan(SAMPLES, day),
        impressions=lake.scan(IMPRESSIONS, day),
        clicks=lake.scan(CLICKS, day),
        purchases=lake.scan(PURCHASES, day),
        actions=lake.scan(ACTIONS, day) if has_actions else None,
    )
    accounting = [records.require(day, f"ingest-{kind}") for kind in settings.profile.kinds]
    before = [records.read(day - number * ONE_DAY, "validate") for number in range(1, 8)]
    history = [found["profile"] for found in before if found and found["success"]]
    docs = settings.root / "docs" / f"day={day}"
    with _step(day, "validate", settings) as record:
        record["fingerprint"] = fingerprint
        verdict = validate_day(frames, day=day, accounting=accounting, history=history, settings=settings, docs=docs)
        failures = [asdict(failure) for failure in verdict.failures]
        record.update({"success": verdict.success, "failures": failures, "profile": verdict.profile, "docs": str(verdict.docs_index)})
    for failure in verdict.failures:
        log.warning("validate %s: %s", day, failure)
    if not verdict.success:
        critical = "; ".join(str(failure) for failure in verdict.failures if failure.severity == "critical")
        raise ValidationFailedError(
            f"validate {day}: {critical}. Data Docs: {verdict.docs_index}. Mend the logs or the band, then rerun from ingest"
        )
    return record


def aggregate(day: date, settings: Settings) -> Record:
    """Compute user and item features as of the end of `day` from the samples of the history window."""
    from components.aggregate.features import item_features, user_features

    require_valid(day, settings)
    with _step(day, "aggregate", settings) as record:
        lake, options = open_lake(settings), settings.aggregate
        samples = lake.scan(SAMPLES, day - (options.history_days - 1) * ONE_DAY, day)
        users = user_features(samples, day=day, options=options, category=settings.profile.category)
        record["user_version"] = lake.replace(USER_FEATURES, day, users)
        record["item_version"] = lake.replace(ITEM_FEATURES, day, item_features(samples, day=day, options=options))
        for name, table in (("users", USER_FEATURES), ("items", ITEM_FEATURES)):
            record[name] = lake.scan(table, day).select(pl.len()).collect().item()
    return record


def publish(day: date, settings: Settings) -> Record:
    """Write the day's features to Feast: offline always, online unless a newer day is there."""
    from components.publish.online import publish_day

    Records(settings.root).require(day, "aggregate")
    require_valid(day, settings)
    with _step(day, "publish", settings) as record:
        lake = open_lake(settings)
        published = publish_day(day, lake.scan(USER_FEATURES, day), lake.scan(ITEM_FEATURES, day), settings=settings)
        record.update(asdict(published))
    return record


def train(day: date, settings: Settings, *, progress: Progress | None = None) -> Record:
    """Fine-tune the checkpoint of the day before on the rows between the two holdouts; cold start on the first day."""
    from components.checkpoints import CheckpointStore
    from components.train.loop import fine_tune

    Records(settings.root).require(day, "aggregate")
    require_valid(day, settings)
    with _step(day, "train", settings) as record:
        store, lake = CheckpointStore(settings.root), open_lake(settings)
        parent = parent_of(day, store, settings)
        first = holdout_start(day - ONE_DAY, settings) if parent else midnight(day)
        end = holdout_start(day, settings)
        rows = assembled(day, settings, first=first, end=end)
        if rows.head(1).collect(engine="streaming").is_empty():
            raise DataError(
                f"train {day}: expected samples exposed from {first} to the holdout at {end}, found none; begin with a later day"
            )
        challenger = fine_tune(rows, parent, profile=settings.profile, settings=settings, progress=progress)
        versions = {table.name: lake.version(table) for table in (SAMPLES, USER_FEATURES, ITEM_FEATURES)}
        manifest = {**challenger.manifest, "day": str(day), "rows_from": first.isoformat(), "table_versions": versions}
        record["version"] = store.save(day, replace(challenger, manifest=manifest))
        record.update({key: manifest[key] for key in ("rows", "clicks", "conversions", "parent", "rows_from")})
    return record


def evaluate(day: date, settings: Settings) -> Record:
    """Score challenger and champion on the day's holdout, which neither has seen, and compare them."""
    from components.checkpoints import CheckpointStore
    from components.evaluate.metrics import evaluate as compare
    from components.model.scoring import score

    challenger = Records(settings.root).require(day, "train")["version"]
    require_valid(day, settings)
    require_verdict(day - ONE_DAY, settings)
    with _step(day, "evaluate", settings) as record:
        store, lake = CheckpointStore(settings.root), open_lake(settings)
        standing = registry(settings).champion_before(day)
        versions = {"challenger": challenger, **({"champion": standing.version} if standing else {})}
        rows = assembled(day, settings, first=holdout_start(day, settings), end=midnight(day + ONE_DAY))
        scores = {
            role: score(rows, store.load(version), profile=settings.profile, settings=settings).lazy().collect()
            for role, version in versions.items()
        }
        predictions = [frame.with_columns(role=pl.lit(role), model_version=pl.lit(versions[role])) for role, frame in scores.items()]
        record["table_version"] = lake.replace(PREDICTIONS, day, pl.concat(predictions).lazy())
        scored = with_scores(rows, scores, settings)
        record.update(compare(scored, settings=settings, slices=settings.profile.slices))
        for role, version in versions.items():
            record["models"][role]["version"] = version
    return record


def promote(day: date, settings: Settings) -> Record:
    """Let the gate decide on the day's challenger, register it, move the champion if it says so, and write the day's report."""
    from components.checkpoints import CheckpointStore
    from components.promote.gate import decide

    evaluation = Records(settings.root).require(day, "evaluate")
    require_valid(day, settings)
    challenger = evaluation["models"]["challenger"]["version"]
    with _step(day, "promote", settings) as record:
        models, store = registry(settings), CheckpointStore(settings.root)
        manifest = store.verify(challenger)
        tags = {"settings": manifest["settings"], "rows": manifest["rows"], "samples_version": manifest["table_versions"]["samples"]}
        models.register(challenger, day=day, parent=manifest["parent"], source=store.folder / challenger, tags=tags)
        verdict = decide(evaluation, gate=settings.gate)
        moved = models.apply(verdict, challenger, day)
        champion = models.champion()
        reason = models.get(challenger).reason  # the registry adds why the alias did not follow
        record.update({"verdict": verdict.verdict, "reason": reason, "moved": moved, "challenger": challenger})
        record["champion"] = champion.version if champion else None
        record["metrics"] = {name: evaluation[name] for name in ("rows", "clicks", "conversions", "models", "difference")}
        models.log_evaluation(challenger, day, _flat_metrics(evaluation))
    report(day, settings)
    return record


def report(day: date, settings: Settings) -> Path:
    """Write the day's report page from what its steps recorded; returns its path."""
    from components.evaluate.report import ReportInputs, render

    records = Records(settings.root)
    days = [known for known in records.days() if known <= day]
    if day not in days:
        raise MissingInputError(f"{records.folder}: nothing has run for {day}; run `esmm run {day}` first")
    delays = (
        open_lake(settings)
        .scan(SAMPLES, day)
        .filter("converted")
        .select((pl.col("converted_at") - pl.col("clicked_at")).dt.total_seconds())
    )
    found = [(known, records.read_day(known)) for known in days]
    path = settings.root / "reports" / f"day={day}" / "index.html"
    inputs = ReportInputs(day=day, records=found[-1][1], history=found[:-1], delays_s=delays.collect().to_series(), page=path)
    write_text(path, render(inputs))
    return path


def run_day(day: date, settings: Settings, *, progress: Progress | None = None) -> Record:
    """Run all steps of a day in order; returns the record of the last."""
    for step in (ingest, label, validate, aggregate, publish):
        step(day, settings)
    train(day, settings, progress=progress)
    evaluate(day, settings)
    return promote(day, settings)


def registry(settings: Settings) -> "Registry":
    """Open the model registry."""
    from components.database import database_url
    from components.promote.registry import Registry

    return Registry(database_url(settings, "mlflow"))


def _flat_metrics(evaluation: Record) -> dict[str, float]:
    """Return the defined AUCs as MLflow metrics, `<role>_<task>_auc`."""
    auc = {
        f"{role}_{task}_auc": model[f"{task}_auc"]["value"]
        for role, model in evaluation["models"].items()
        if model
        for task in ("ctr", "cvr", "ctcvr")
        if model[f"{task}_auc"] and model[f"{task}_auc"].get("value") is not None
    }
    return {**auc, **{name: float(evaluation[name]) for name in ("rows", "clicks", "conversions")}}


@contextmanager
def _step(day: date, name: str, settings: Settings) -> Iterator[Record]:
    """Time a step, and keep and log its record once its body is done. A failure leaves no record, not even of an earlier run."""
    started = time.perf_counter()
    record: Record = {"day": str(day), "step": name}
    try:
        yield record
    except Exception:
        Records(settings.root).remove(day, name)
        raise
    record["seconds"] = round(time.perf_counter() - started, 2)
    Records(settings.root).write(day, name, record)
    numbers = {key: value for key, value in record.items() if isinstance(value, int | str) and key not in ("day", "step", "seconds")}
    log.info("%s %s: %s, %.1f s", name, day, ", ".join(f"{key} {value}" for key, value in numbers.items()), record["seconds"])


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    """Give an empty folder under the home, gone afterwards."""
    settings.root.joinpath("scratch").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=settings.root / "scratch"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
