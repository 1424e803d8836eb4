"""A day, read top to bottom: each step finds its inputs by day, calls pure functions, and writes. Knows no orchestrator.

Every step may be run again, leaves its record in `<home>/runs/day=D/`, returns it, and logs one line. Rooms are imported inside the
steps: each costs seconds, and a terminal or a scheduler pays only for the step it runs.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, replace
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from components.checks import check_features, check_predictions, profiles_before
from components.disk import scratch_folder
from components.enquiries import report
from components.errors import ValidationFailedError
from components.inputs import (
    ONE_DAY,
    assembled,
    holdout_start,
    midnight,
    open_lake,
    require_valid,
    require_verdict,
    samples_as_of,
    with_scores,
)
from components.profile import Kind
from components.records import Record, Records, recorded
from components.settings import Settings
from components.sharing import jobs, prepared, snapshots, write_samples
from components.tables import (
    ACTIONS,
    CLICKS,
    EVENTS,
    FEATURES,
    IMPRESSIONS,
    OUTCOMES,
    PREDICTIONS,
    PURCHASES,
    QUARANTINE,
    SAMPLES,
)
from components.training import TrainingInputs, known_delays, training_inputs

if TYPE_CHECKING:
    from components.checkpoints import Checkpoint
    from components.promote.registry import Registry

log = logging.getLogger("esmm")
Progress = Callable[[int], None]
STEPS = ("ingest", "label", "validate", "relabel", "aggregate", "publish", "train", "evaluate", "promote")
_SUMS = ("rows_in", "accepted", "exact_duplicates", "conflicting_duplicates", "quarantined")


def ingest(day: date, settings: Settings) -> Record:
    """Read every kind of raw log that arrived on `day` into the event tables."""
    records = [ingest_kind(day, kind, settings) for kind in settings.profile.kinds]
    return {"day": str(day), "kinds": records, "seconds": round(sum(record["seconds"] for record in records), 2)}


def ingest_kind(day: date, kind: Kind, settings: Settings) -> Record:
    """Read one kind of raw log that arrived on `day`: accepted rows to its table, unreadable and conflicting ones to quarantine.

    A kind that the profile does not declare has no logs and no rows.
    """
    from components.ingest.arrival import require_files, require_hours
    from components.ingest.columns import Target
    from components.ingest.logs import Day, read_day

    if kind not in settings.profile.kinds:
        return {"day": str(day), "kind": kind, "files": [], **dict.fromkeys(_SUMS, 0), "seconds": 0.0}
    with recorded(day, f"ingest-{kind}", settings) as record, scratch_folder(settings.root / "scratch") as scratch:
        lake = open_lake(settings)
        folder, target = settings.raw / kind / f"day={day}", Target(kind, day, settings.profile)
        require_files(folder, target)
        bounds = {"chunk_rows": settings.ingest.chunk_rows, "file_rows": settings.lake.file_rows}
        logs = read_day(Day(folder, target, scratch, **bounds), partial(lake.write, EVENTS[kind], day))
        with ExitStack() as unless_kept:
            unless_kept.callback(lake.discard, logs.accepted)
            require_hours(folder, target, logs.hours)
            record["quarantine_version"] = lake.replace(QUARANTINE, day, logs.quarantined, kind=kind)
            unless_kept.pop_all()
        record["table_version"] = lake.commit(logs.accepted)
        files = [asdict(accounting) for accounting in logs.accounting]
        sums = {name: sum(file[name] for file in files) for name in _SUMS}
        record.update({"kind": kind, "files": files, "hours": list(logs.hours), **sums})
    return record


def label(day: date, settings: Settings, *, labelled_through: datetime | None = None) -> Record:
    """Join the day's impressions with what followed them before the cut-off (default: the day's end) into samples."""
    from components.label.outcomes import trace_completeness

    (job,) = jobs(day, "label", settings, through=labelled_through)
    records = Records(settings.root)
    for kind in settings.profile.kinds:
        records.require(day, f"ingest-{kind}")
    with recorded(day, "label", settings) as record, scratch_folder(settings.root / "scratch") as scratch:
        lake = open_lake(settings)
        draft = write_samples(job, scratch=scratch)
        record["samples"], version = draft.num_rows, lake.commit(draft)
        record["table_version"], written = version, lake.scan(SAMPLES, day, version=version)
        record.update(trace_completeness(written, conversion_window=settings.labels.conversion_window))
        record.update(
            {"labelled_through": job.labelling.through.isoformat(), "fingerprint": lake.fingerprint(SAMPLES, day, version=version)}
        )
    return record


def validate(day: date, settings: Settings) -> Record:
    """Check the day against its suites; raises ValidationFailedError when a critical expectation fails."""
    from components.validate.docs import write_docs
    from components.validate.suites import DayFrames, validate_day

    records = Records(settings.root)
    fingerprint = records.require(day, "label")["fingerprint"]
    lake = open_lake(settings)
    has_actions = "actions" in settings.profile.kinds
    frames = DayFrames(
        samples=samples_as_of(day, day, settings),
        impressions=lake.scan(IMPRESSIONS, day),
        clicks=lake.scan(CLICKS, day),
        purchases=lake.scan(PURCHASES, day),
        actions=lake.scan(ACTIONS, day) if has_actions else None,
        quarantine=lake.scan(QUARANTINE, day),
    )
    accounting = [records.require(day, f"ingest-{kind}") for kind in settings.profile.kinds]
    docs = settings.root / "docs" / f"day={day}"
    with recorded(day, "validate", settings) as record:
        record["fingerprint"] = fingerprint
        history = profiles_before(day, "validate", settings)
        verdict = validate_day(frames, day=day, accounting=accounting, history=history, settings=settings)
        failing = {failure.table for failure in verdict.failures if failure.severity == "critical"}
        shown = {name: frame for name, frame in vars(frames).items() if name in failing and frame is not None}
        index, verdict.failures = write_docs([verdict.profile], verdict.failures, docs, frames=shown, settings=settings)
        failures = [asdict(failure) for failure in verdict.failures]
        record.update({"success": verdict.success, "failures": failures, "profile": verdict.profile, "docs": str(index)})
    for failure in verdict.failures:
        log.warning("validate %s: %s", day, failure)
    if not verdict.success:
        raise ValidationFailedError(
            f"validate {day}: {verdict.reason}. Data Docs: {index}. Mend the logs or the band, then rerun from ingest"
        )
    return record


def relabel(day: date, settings: Settings) -> Record:
    """Label the earlier days that `day`'s events may still change again, as of the end of `day`; keep what became known.

    Days without samples are left alone. Each day is replaced in one commit; the outcomes that `day` brought go to `outcomes`.
    """
    from components.label.outcomes import learn_outcomes, trace_completeness

    require_valid(day, settings)
    with recorded(day, "relabel", settings) as record:
        lake, known, learned, record["days"] = open_lake(settings), Records(settings.root), [], {}
        for job in jobs(day, "relabel", settings):
            when = job.day
            with scratch_folder(settings.root / "scratch") as scratch:
                version = lake.commit(write_samples(job, scratch=scratch))
            after = lake.scan(SAMPLES, when, version=version)
            learned.append(learn_outcomes(after, samples_as_of(day - ONE_DAY, when, settings)))
            traced = trace_completeness(after, conversion_window=settings.labels.conversion_window)
            record["days"][str(when)] = {"version": version, "labelled_through": job.labelling.through.isoformat(), **traced}
        learned.append(learn_outcomes(samples_as_of(day, day, settings), None))
        record["table_version"] = lake.replace(OUTCOMES, day, learned)
        record["fingerprint"] = known.require(day, "label")["fingerprint"]
    return record


def aggregate(day: date, settings: Settings) -> Record:
    """Compute the features as of the end of `day`, from those of the day before where they still stand; relabels first if that is due."""
    require_valid(day, settings)
    records = Records(settings.root)
    relabelled = records.read(day, "relabel")
    if relabelled is None or relabelled.get("fingerprint") != records.require(day, "label")["fingerprint"]:
        relabel(day, settings)
    with recorded(day, "aggregate", settings) as record, scratch_folder(settings.root / "scratch") as scratch:
        record.update(snapshots(settings).write(day, prepared(day, settings, scratch)))
        check_features(day, settings)
    return record


def publish(day: date, settings: Settings) -> Record:
    """Write the day's features to Feast: offline always, online unless a newer day is there."""
    from components.publish.online import publish_day

    Records(settings.root).require(day, "aggregate")
    require_valid(day, settings)
    with recorded(day, "publish", settings) as record:
        lake = open_lake(settings)
        published = publish_day(day, {table: lake.scan(table, day) for table in FEATURES}, settings=settings)
        record.update(asdict(published))
    return record


def train(day: date, settings: Settings, *, progress: Progress | None = None) -> Record:
    """Fine-tune the checkpoint of the day before on the rows between the two holdouts; cold start on the first day.

    On a day of a full retrain it is a cold start on many days. A loss that corrects for young labels gets the delays that `relabel` saw
    on the earlier days; they are kept in the manifest.
    """
    from components.train.calibration import fine_tune_calibrated

    Records(settings.root).require(day, "aggregate")
    require_valid(day, settings)
    with recorded(day, "train", settings) as record:
        given = training_inputs(day, settings)
        challenger = fine_tune_calibrated(given.rows, given.parent, profile=settings.profile, settings=settings, progress=progress)
        record.update(_save(day, challenger, given, settings))
    return record


def train_as_rank(day: date, settings: Settings) -> Record | None:
    """Train as `train` does, beside the other processes that torchrun started; the first saves and returns the record, the others None."""
    from components.train.sharded.ranks import joined

    Records(settings.root).require(day, "aggregate")
    require_valid(day, settings)
    with (
        joined(settings.work.rank_timeout) as ranks,
        scratch_folder(settings.root / "scratch") as folder,
        recorded(day, "train", settings) if ranks.first else nullcontext() as record,
    ):
        from components.train.sharded.loop import fine_tune_calibrated  # imports the packages that `joined` asks for

        given = training_inputs(day, settings)
        ranks.require_same({"settings": settings.fingerprint, "parent": given.parent and given.parent.version, **given.facts})
        profile = settings.profile
        challenger = fine_tune_calibrated(given.rows, given.parent, profile=profile, settings=settings, ranks=ranks, folder=folder)
        if record is not None and challenger is not None:
            record.update(_save(day, challenger, given, settings))
    return record


def _save(day: date, challenger: "Checkpoint", given: TrainingInputs, settings: Settings) -> Record:
    """Save a challenger with what it was trained on; returns what the day's record says of it."""
    from components.checkpoints import CheckpointStore

    store, manifest = CheckpointStore(settings.root), {**challenger.manifest, **given.facts}
    eve, version = store.head(day - ONE_DAY), store.save(day, replace(challenger, manifest=manifest))
    told = ("rows", "clicks", "conversions", "parent", "rows_from", "full_retrain")
    carried = {"carried": manifest["carried"]} if "carried" in manifest else {}
    return {"eve": eve, "version": version, **{key: manifest[key] for key in told}, "ids": manifest.get("ids", []), **carried}


def evaluate(day: date, settings: Settings) -> Record:
    """Score challenger and champion on the day's holdout, which neither has seen, and compare them."""
    from components.checkpoints import CheckpointStore
    from components.evaluate.metrics import evaluate as compare
    from components.model.own_fields import score_own
    from components.model.standing import standings

    challenger = Records(settings.root).require(day, "train")["version"]
    require_valid(day, settings)
    require_verdict(day - ONE_DAY, settings)
    with recorded(day, "evaluate", settings) as record:
        store, lake = CheckpointStore(settings.root), open_lake(settings)
        standing = registry(settings).champion_before(day)
        versions = {"challenger": challenger, **({"champion": standing.version} if standing else {})}
        rows = assembled(day, settings, first=holdout_start(day, settings), end=midnight(day + ONE_DAY))
        if settings.model.age_corrected:
            rows = rows.with_columns(known_delays(day, settings).known_share())
        models = {role: store.load(version) for role, version in versions.items()}
        owns, scores = score_own(rows, models, settings=settings)
        known = standings(owns["challenger"].rows, models["challenger"], profile=owns["challenger"].profile)
        predictions = [frame.with_columns(role=pl.lit(role), model_version=pl.lit(versions[role])) for role, frame in scores.items()]
        record["table_version"] = lake.replace(PREDICTIONS, day, pl.concat(predictions).lazy())
        check_predictions(day, rows, settings)
        scored = with_scores(rows, scores, settings).join(known, on="impression_id", how="left", validate="1:1", maintain_order="left")
        record.update(compare(scored, settings=settings, slices=(*settings.profile.slices, *known.columns[1:])))
        for role, version in versions.items():
            gone = {"fields_gone": owns[role].gone} if owns[role].gone else {}
            record["models"][role].update({"version": version, **gone})
    return record


def promote(day: date, settings: Settings) -> Record:
    """Let the gate decide on the day's challenger, register it, move the champion if it says so, and write the day's report."""
    from components.checkpoints import CheckpointStore
    from components.promote.gate import decide

    evaluation = Records(settings.root).require(day, "evaluate")
    require_valid(day, settings)
    challenger = evaluation["models"]["challenger"]["version"]
    with recorded(day, "promote", settings) as record:
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


def run_day(day: date, settings: Settings, *, progress: Progress | None = None) -> Record:
    """Run all steps of a day in order; returns the record of the last."""
    for step in (ingest, label, validate, relabel, aggregate, publish):
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
