"""The model registry: which versions there are, what the gate said of each, and which one is the champion.

Every change is made under one lock, tags before aliases, and each may be made again: a killed call leaves nothing that the same call
does not finish. README.md says what reruns, backfills and a roll-back do.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from components.errors import RegistryError
from components.promote.gate import Verdict
from components.promote.lock import exclusive
from components.promote.store import Store
from components.promote.versions import CHALLENGER, CHAMPION, Model, newest_baseline


class Registry:
    """The registered versions in one MLflow database."""

    def __init__(self, tracking_uri: str) -> None:
        """Open a `postgresql://` database, or a `sqlite:///` one on a single machine; creates MLflow's tables where they are missing."""
        self._uri = tracking_uri
        with exclusive(tracking_uri):
            self._store = Store(tracking_uri)

    def register(self, version: str, *, day: date, parent: str | None, source: Path, tags: Mapping[str, Any]) -> Model:
        """Enter a version, once however often it is called; it becomes the challenger unless a newer day's stands.

        source: the checkpoint's folder.  tags: its lineage (fingerprint of the settings, rows, samples table version).
        """
        with exclusive(self._uri):
            model = self._store.find(version) or self._store.enter(source, {**tags, "version": version, "day": day, "parent": parent})
            _require_day(model, day)
            challenger = self._store.with_alias(CHALLENGER)
            if challenger is None or challenger.day <= day:
                self._store.point(CHALLENGER, model)
            return self.get(version)

    def apply(self, verdict: Verdict, version: str, day: date) -> bool:
        """Record the verdict and, on `promote`, move the champion alias; returns whether it moved.

        It does not move to an older day than the champion's, nor to a version that was rolled back; the recorded reason then says so.
        The version now stands for its day: other versions of the day, left by earlier runs, are superseded. The same verdict again
        changes nothing.
        """
        with exclusive(self._uri):
            model = self.get(version)
            _require_day(model, day)
            champion = self._store.with_alias(CHAMPION)
            promoted = verdict.verdict == "promote"
            obstacle = _obstacle(model, champion) if promoted else ""
            repeated = model.verdict == verdict.verdict and model.reason.startswith(verdict.reason)
            reason = model.reason if repeated and not model.rolled_back else "; ".join(filter(None, (verdict.reason, obstacle)))
            self._store.tag(model, verdict=verdict.verdict, reason=reason, promoted=promoted, superseded_by="")
            for other in self._store.models(f"tags.day = '{day}'"):
                if version not in (other.version, other.superseded_by):
                    self._store.tag(other, superseded_by=version)
            moves = promoted and not obstacle and (champion is None or champion.version != version)
            if moves:
                self._store.point(CHAMPION, model)
            return moves

    def rollback(self, reason: str = "by hand") -> Model:
        """Give the champion alias back to the newest promoted version of an earlier day and return it; the displaced one stays out.

        Raises RegistryError where there is no champion, or none before it.
        """
        with exclusive(self._uri):
            champion = self._store.with_alias(CHAMPION)
            if champion is None:
                raise RegistryError("rollback: expected a champion, found none; promote a day first (`esmm promote DAY`)")
            previous = self.champion_before(champion.day)
            if previous is None:
                raise RegistryError(
                    f"rollback: expected a version promoted before the day of champion {champion.version}, found none; see `esmm models`"
                )
            self._store.tag(champion, rolled_back=reason)
            self._store.point(CHAMPION, previous)
            return self.get(previous.version)

    def champion(self) -> Model | None:
        """Return the version now serving, or None."""
        return self._store.with_alias(CHAMPION)

    def champion_before(self, day: date) -> Model | None:
        """Return the newest version promoted for a day before `day`: what a challenger of `day` is compared with, in a backfill too."""
        return newest_baseline(self._store.models(), before=day)

    def models(self) -> list[Model]:
        """Return every version, the newest day first; of one day, the latest entered first."""
        return sorted(self._store.models(), key=lambda model: (model.day, model.number), reverse=True)

    def log_evaluation(self, version: str, day: date, metrics: Mapping[str, float]) -> None:
        """Keep a version's holdout metrics as its one MLflow run of the experiment `esmm`; a rerun writes only what changed."""
        with exclusive(self._uri):
            model = self.get(version)
            _require_day(model, day)
            self._store.log(model, metrics)

    def get(self, version: str) -> Model:
        """Return a version; raises RegistryError where there is none of that name."""
        model = self._store.find(version)
        if model is None:
            raise RegistryError(
                f"registry: expected version {version}, found no such version; run `esmm promote` for its day, or see `esmm models`"
            )
        return model


def _require_day(model: Model, day: date) -> None:
    if model.day != day:
        raise RegistryError(
            f"registry: version {model.version} is of {model.day}, not of {day}; name a version of {day} (see `esmm models`)"
        )


def _obstacle(model: Model, champion: Model | None) -> str:
    """Return why the champion alias may not move to a promoted version; empty where it may."""
    if model.rolled_back:
        return f"the champion alias did not move: this version was rolled back ({model.rolled_back})"
    if champion is not None and champion.day > model.day:
        return f"the champion alias did not move: {champion.version} of the newer day {champion.day} stands"
    return ""
