"""What the steps find by day: the lake, the rows between two instants, the parent, the verdict that must be there."""

import logging
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import polars.selectors as cs

from components.errors import MissingInputError, MissingParentError, SettingsError, ValidationFailedError
from components.lake import Lake
from components.records import Records
from components.settings import Settings
from components.tables import FEATURES, SAMPLES, check_fields

if TYPE_CHECKING:
    from components.checkpoints import Checkpoint, CheckpointStore

log = logging.getLogger("esmm")
ONE_DAY = timedelta(days=1)


def midnight(day: date) -> datetime:
    """Return the first instant of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def holdout_start(day: date, settings: Settings) -> datetime:
    """Return the first instant of a day's holdout."""
    return midnight(day + ONE_DAY) - settings.evaluation.holdout


def deadline(day: date, settings: Settings) -> datetime:
    """Return the instant until which the logs of a day are waited for."""
    return midnight(day + ONE_DAY) + settings.ingest.deadline


def open_lake(settings: Settings) -> Lake:
    """Open the tables. Raises SettingsError where a field of the profile reads what no sample has."""
    try:
        check_fields(settings.profile)
    except ValueError as error:
        raise SettingsError(f"profile {settings.profile_path}: {error}") from None
    return Lake(settings.lake_uri, settings.profile)


def samples_as_of(run: date, day: date, settings: Settings) -> pl.LazyFrame:
    """Read the samples of `day` with the labels that the run of a later or the same day gave them, whatever newer runs did since.

    Raises MissingInputError where `day` is that of the run and is not labelled.
    """
    return open_lake(settings).scan(SAMPLES, day, version=samples_version(run, day, settings))


def samples_version(run: date, day: date, settings: Settings) -> int | None:
    """Return the version of the table at which `samples_as_of` reads; None for the newest, where `day` has no run."""
    records = Records(settings.root)
    for later in (run - number * ONE_DAY for number in range((run - day).days)):
        relabelled = (records.read(later, "relabel") or {"days": {}})["days"].get(str(day))
        if relabelled:
            return int(relabelled["version"])
    labelled = records.require(day, "label") if run == day else records.read(day, "label")
    return int(labelled["table_version"]) if labelled else None


def days_in_window(day: date, settings: Settings) -> list[date]:
    """Return the earlier days whose labels the events of `day` may still change, ascending."""
    window = settings.labels.click_window + settings.labels.conversion_window
    return [day - number * ONE_DAY for number in range(-(-window // ONE_DAY), 0, -1)]


def assembled(day: date, settings: Settings, *, first: datetime, end: datetime) -> pl.LazyFrame:
    """Read the samples exposed in [first, end), in time order, with the features of the day before each."""
    from components.aggregate.assembly import assemble

    lake = open_lake(settings)
    within = (pl.col("exposed_at") >= first) & (pl.col("exposed_at") < end)
    days = (first.date() + number * ONE_DAY for number in range((day - first.date()).days + 1))
    each = (  # day by day: a slice of several scans would be read from the first row of the first
        assemble(
            samples_as_of(day, known, settings),
            {table: lake.scan(table, known - ONE_DAY) for table in FEATURES},
            category=settings.profile.category,
        )
        for known in days
    )
    return pl.concat(each).filter(within)  # each day is stored in time order


def parent_of(day: date, store: "CheckpointStore", settings: Settings) -> "Checkpoint | None":
    """Return yesterday's checkpoint; where it is missing but an older one exists, what `train.missing_parent` says."""
    yesterday = day - ONE_DAY
    version = store.head(yesterday)
    if version:
        return store.load(version)
    older = [known for known in store.days() if known < yesterday]
    policy = settings.train.missing_parent
    if not older or policy == "cold_start":
        return None
    if policy == "last_trained":
        log.warning("train %s: no checkpoint of %s; starting from %s", day, yesterday, older[-1])
        return store.load(str(store.head(older[-1])))
    raise MissingParentError(
        f"train {day}: expected a checkpoint of {yesterday} in {store.folder}, found none after {older[-1]}; run "
        f"`esmm run {older[-1] + ONE_DAY} --to {day}` to mend the chain, or set train.missing_parent to last_trained or cold_start"
    )


def retrains(day: date, settings: Settings) -> bool:
    """Return whether a day's challenger is a cold start on all that is kept, and no child of yesterday's."""
    every = settings.train.full_retrain_every_days
    return every > 0 and day.toordinal() % every == 0


def days_to_retrain(day: date, settings: Settings) -> list[date]:
    """Return the days that a full retrain reads, ascending, the day itself the last; those that failed their validation are left out.

    Raises MissingInputError for one that was labelled and is not validated.
    """
    records = Records(settings.root)
    kept = []
    for known in (day - number * ONE_DAY for number in reversed(range(settings.train.full_retrain_days))):
        if records.read(known, "label") and (records.read(known, "validate") or {"success": True})["success"]:
            require_valid(known, settings)
            kept.append(known)
    return kept


def require_valid(day: date, settings: Settings) -> None:
    """Refuse to go on unless the day's samples, as they are labelled now, passed their validation."""
    records = Records(settings.root)
    validated = records.require(day, "validate")
    if not validated["success"]:
        raise ValidationFailedError(f"{day} failed its validation; run `esmm validate {day}` to see why, mend it, then rerun from ingest")
    if validated.get("fingerprint") != records.require(day, "label")["fingerprint"]:
        raise MissingInputError(f"{day} was labelled again after its validation; run `esmm validate {day}`, then `esmm aggregate {day}`")


def require_verdict(day: date, settings: Settings) -> None:
    """Refuse to go on before the gate has spoken on a day's checkpoint: it may be the champion of the next day's comparison."""
    from components.checkpoints import CheckpointStore

    trained, judged = CheckpointStore(settings.root).head(day), Records(settings.root).read(day, "promote")
    if trained and (judged is None or judged["challenger"] != trained):
        raise MissingInputError(f"evaluate: {trained} has no verdict yet; run `esmm evaluate {day}` and `esmm promote {day}` first")


def with_scores(rows: pl.LazyFrame, scores: dict[str, pl.DataFrame], settings: Settings) -> pl.DataFrame:
    """Return the holdout's labels, slice columns and, where there is one, `known_share` beside each role's scores, in the rows' order."""
    new = [pl.col(f"{entity}_impression_count_7d").is_null().alias(f"new_{entity}") for entity in ("user", "item")]
    kept = dict.fromkeys(["impression_id", "item_id", "position", "clicked", "converted", *settings.profile.slices])
    labels = rows.select(*kept, *new, cs.by_name("known_share", require_all=False)).collect(engine="streaming")
    for role, frame in scores.items():
        named = frame.rename({name: f"{role}_{name}" for name in ("pctr", "pcvr", "pctcvr")})
        labels = labels.join(named, on="impression_id", how="left", validate="1:1", maintain_order="left")
    return labels
