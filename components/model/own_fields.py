"""What a checkpoint reads where the profile's fields are not its own any more: its own fields, from the columns that there still are."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from components.checkpoints import Checkpoint
from components.model.encoding import Layout
from components.model.kinship import Kinship
from components.model.restore import recorded
from components.model.scoring import score_all
from components.model_fields import MAX_LEARNED_BUCKETS, ModelField
from components.profile import Profile
from components.settings import Settings

log = logging.getLogger("esmm")


@dataclass(frozen=True)
class Own:
    """A checkpoint's view of rows that were made for a profile."""

    profile: Profile
    """Its `own_profile`."""
    rows: pl.LazyFrame
    """The rows with the columns that these fields read."""
    gone: list[str]
    """Fields whose column is not there any more: they count as missing in every row."""
    read: Mapping[str, str]
    """The column that each other field reads in the rows as they were."""

    def like(self, other: "Own") -> bool:
        """Whether another checkpoint reads the same rows in the same way."""
        return (self.profile, self.gone, self.read) == (other.profile, other.gone, other.read)


def own_profile(checkpoint: Checkpoint, profile: Profile) -> Profile:
    """Return a profile with the fields that a checkpoint was trained with in the place of its own."""
    return profile.model_copy(update={"fields": tuple(map(_as_declared, recorded(checkpoint.manifest).fields))})


def own_fields(rows: pl.LazyFrame, checkpoint: Checkpoint, profile: Profile) -> Own:
    """Return rows that were made for a profile as a checkpoint reads them, which may have been trained before the profile changed.

    A field that another one `was` reads that one's column. One that the profile dropped reads its own, or where the rows do not have it
    any more is missing in all of them: so the checkpoint would have to serve from now on.
    """
    trained, columns = recorded(checkpoint.manifest), rows.collect_schema()
    kin = Kinship(trained, Layout.of(profile))
    heirs = {then: kin.child.named[now].source for now, then in kin.fields.items() if kin.child.named[now].was == then}
    read = {field.name: heirs.get(field.name, field.source) for field in trained.fields if field.kind != "cross"}
    gone = [name for name, column in read.items() if column not in columns]
    if gone:
        log.warning("%s: no column for %s any more, which count as missing", checkpoint.version or "checkpoint", ", ".join(gone))
    moved = {
        trained.named[name].source: pl.lit(None, _type(trained.named[name])) if name in gone else pl.col(column)
        for name, column in read.items()
        if name in gone or column != trained.named[name].source
    }
    return Own(own_profile(checkpoint, profile), rows.with_columns(**moved), gone, read)


def score_own(
    rows: pl.LazyFrame, checkpoints: Mapping[str, Checkpoint], *, settings: Settings
) -> tuple[dict[str, Own], dict[str, pl.DataFrame]]:
    """Score rows that were made for the settings' profile by each checkpoint as it reads them; at once by all that read them alike."""
    owns = {role: own_fields(rows, checkpoint, settings.profile) for role, checkpoint in checkpoints.items()}
    scores: dict[str, pl.DataFrame] = {}
    for role, own in owns.items():
        if role not in scores:
            alike = [other for other, theirs in owns.items() if own.like(theirs)]
            frames = score_all(own.rows, [checkpoints[other] for other in alike], profile=own.profile, settings=settings)
            scores.update(zip(alike, frames, strict=True))
    return owns, {role: scores[role] for role in checkpoints}


def _as_declared(field: ModelField) -> ModelField:
    """Return a field without boundaries that were learned, which are the checkpoint's; a field that declares some has no `buckets`."""
    learned = field.bucketing == "quantile" and field.buckets <= MAX_LEARNED_BUCKETS
    return field.model_copy(update={"boundaries": ()}) if learned else field


def _type(field: ModelField) -> pl.DataType:
    if field.kind != "list" or field.separator:
        return pl.Float64() if field.numeric else pl.String()
    return pl.List(pl.Int64() if field.ages else pl.String())
