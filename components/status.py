"""The chain of days: what each step was made of, whether that still holds, and the command that repairs a break.

A step is stale where a rerun could come out otherwise: what it was made of is not what is there now, a step that it reads has run since, or
is stale itself. All of it is derived from the records, their times and the store's heads, each read once; nothing is marked or written.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from components.aggregate.windows import days_in_window
from components.checkpoints import CheckpointStore
from components.errors import DataError
from components.inputs import ONE_DAY, open_lake
from components.records import Record, Records, read_object
from components.settings import Settings
from components.tables import OUTCOMES

if TYPE_CHECKING:
    from components.promote.versions import Model

State = Literal["done", "missing", "stale", "failed validation", "no verdict", "unpublished"]
_READS = {
    "label": "ingest",
    "validate": "label",
    "relabel": "validate",
    "aggregate": "relabel",
    "train": "aggregate",
    "evaluate": "train",
    "promote": "evaluate",
    "publish": "aggregate",
}
"""Each step's input of the same day; what no training reads comes last."""
_FROM_EVE = ("relabel", "aggregate", "train")
"""These read what the same step of the day before left."""
_UNREAD: Mapping[str, State] = {"evaluate": "no verdict", "promote": "no verdict", "publish": "unpublished"}
"""What a day is whose training is done, but not this step, which no later day is trained from."""


@dataclass(frozen=True)
class Link:
    """One day of the chain."""

    day: date
    state: State
    why: str
    """Of the first step that is not done; empty where all are."""
    steps: Mapping[str, State]
    version: str | None
    """The checkpoint trained for the day."""
    parent: str | None
    verdict: str
    """The gate's, on this version; empty where it has not spoken."""
    champion: bool
    repair: str
    """A command; empty where nothing is broken, and where that of an earlier day mends this one too."""


@dataclass(frozen=True)
class Status:
    """The chain, and what it comes to."""

    days: list[Link]
    champion: str | None
    champion_age_days: int | None
    """From its day to the last one looked at."""
    champion_superseded: bool
    """Its day has been trained again, to other bytes."""
    settings_changed: bool
    """They are not those that the newest checkpoint was trained with, which by itself breaks nothing."""
    whole: bool
    repair: str
    """The first command to run; empty where the chain is whole."""

    @property
    def summary(self) -> str:
        """What it comes to, in a line."""
        if not self.days:
            return f"nothing has run; run: {self.repair}"
        champion = f"champion {self.champion}, {self.champion_age_days} days old" if self.champion else "no champion"
        superseded = [" (its day has been trained again)"] if self.champion_superseded else []
        settings = ["; the settings have changed since the newest checkpoint was trained"] if self.settings_changed else []
        broken = sum(link.state != "done" for link in self.days)
        chain = "the chain is whole" if self.whole else f"{broken} of {len(self.days)} days are not done; run: {self.repair}"
        return "".join([champion, *superseded, *settings, "; ", chain])


class Home:
    """What a home holds of each day; each record is read once."""

    def __init__(self, settings: Settings) -> None:
        """Look which records there are, and since when."""
        self.settings, self.records, self.store = settings, Records(settings.root), CheckpointStore(settings.root)
        self._times = {day: _times(self.records.path(day, "label").parent) for day in self.records.days()}
        self.trained = self.store.days()
        self.read, self.head, self.stands = cache(self._read), cache(self.store.head), cache(self._stands)

    @cached_property
    def days(self) -> list[date]:
        """The days on which any step has run, ascending; asking whether a day is ready is no step."""
        ran = {day for day, times in self._times.items() if any(step.startswith("ingest-") or step in _READS for step in times)}
        return sorted(ran | set(self.trained))

    def time(self, day: date, step: str) -> int:
        """Return when a step last ran, in ns; 0 where it has not, or not for all kinds, or where its checkpoint is gone."""
        times = self._times.get(day, {})
        if step == "ingest":
            each = [times.get(f"ingest-{kind}", 0) for kind in self.settings.profile.kinds]
            return max(each) if all(each) else 0
        if step == "train" and not (self.store.folder / str(self.head(day))).is_dir():
            return 0
        return times.get(step, 0)

    def source(self, day: date) -> str:
        """Return what a day adds to features, as `aggregate` records it: its samples' fingerprint and its outcomes' version."""
        labelled, relabelled = self.read(day, "label"), self.read(day, "relabel")
        return f"{labelled['fingerprint']} {relabelled['table_version']}" if labelled and relabelled else ""

    def _stands(self, day: date, was: str) -> bool:
        """Whether a source recorded before is what the day has now; outcomes of another version may be the same rows."""
        now = self.source(day)
        if was == now or not (was and now):
            return was == now
        (before, old), (after, new) = was.split(), now.split()
        if before != after:
            return False
        lake = open_lake(self.settings)
        try:
            return lake.fingerprint(OUTCOMES, day, version=int(old)) == lake.fingerprint(OUTCOMES, day, version=int(new))
        except (DataError, OSError):  # vacuumed: nobody can tell any more
            return False

    def _read(self, day: date, step: str) -> Record:
        return (self.records.read(day, step) if step in self._times.get(day, {}) else None) or {}


def look(settings: Settings, champion: Callable[[], "Model | None"], *, first: date | None = None, last: date | None = None) -> Status:
    """Judge the days from `first` (the earliest that ran) through `last` (the latest); what is before `first` is taken as it is.

    champion: asked for once the gate has spoken on any day.
    """
    home = Home(settings)
    known = home.days or [day for day in (first, last) if day]
    if not known:
        return Status([], None, None, champion_superseded=False, settings_changed=False, whole=False, repair="esmm run DAY")
    begin = first or min(known[0], last or known[0])
    end = last or max(known[-1], begin)
    standing = champion() if any(home.time(day, "promote") for day in known) else None
    links = _links([begin + number * ONE_DAY for number in range((end - begin).days + 1)], home, standing.version if standing else None)
    return Status(
        links,
        standing.version if standing else None,
        (max(end, standing.day) - standing.day).days if standing else None,
        champion_superseded=standing is not None and home.head(standing.day) not in (None, standing.version),
        settings_changed=_settings_changed(home),
        whole=all(link.state == "done" for link in links),
        repair=next((link.repair for link in links if link.repair), ""),
    )


def _links(days: list[date], home: Home, champion: str | None) -> list[Link]:
    links: list[Link] = []
    eve: Mapping[str, State] = {}
    mended = False
    for day in days:
        judged = _judge(day, home, eve)
        eve = {step: state for step, (state, _) in judged.items()}
        broken = next((step for step, state in eve.items() if state != "done"), "")
        state, why = judged.get(broken, ("done", ""))
        promoted, version = home.read(day, "promote"), home.head(day)
        links.append(
            Link(
                day,
                _UNREAD.get(broken, state),
                f"{broken}: {why}" if broken else "",
                eve,
                version,
                home.read(day, "train").get("parent"),
                promoted["verdict"] if promoted and promoted["challenger"] == version else "",
                champion=version is not None and version == champion,
                repair="" if mended else _repair(day, days[-1], [step for step, state in eve.items() if state != "done"]),
            )
        )
        mended = mended or bool(broken and broken not in _UNREAD)
    return links


def _judge(day: date, home: Home, eve: Mapping[str, State]) -> dict[str, tuple[State, str]]:
    """Return the state of every step of a day and why it is not done; eve: the states of the day before, none before the first."""
    found: dict[str, tuple[State, str]] = {}
    for step in ("ingest", *_READS):
        found[step] = _judge_step(day, step, home, found, eve)
    return found


def _judge_step(day: date, step: str, home: Home, before: Mapping[str, tuple[State, str]], eve: Mapping[str, State]) -> tuple[State, str]:
    if not home.time(day, step):
        return "missing", "not trained, or its checkpoint is gone" if step == "train" else "has not run"
    source = _READS.get(step, "")
    if source and before[source][0] != "done":
        return "stale", f"{source} is {before[source][0]}"
    if step in _FROM_EVE and eve.get(step, "done") != "done":
        return "stale", f"that of {day - ONE_DAY} is {eve[step]}"
    if reason := _outdated(day, step, home):
        return "stale", reason
    failed = step == "validate" and not home.read(day, step).get("success")
    return ("failed validation", "mend the logs or the band it names") if failed else ("done", "")


def _outdated(day: date, step: str, home: Home) -> str:
    """Return why a rerun of a step, whose inputs are done, could come out otherwise; empty where it could not."""
    if step in ("validate", "relabel"):
        same = home.read(day, step).get("fingerprint") == home.read(day, "label").get("fingerprint")
        return "" if same else "the day was labelled again since"
    if step == "aggregate":
        window = home.read(day, step).get("window", {})
        kept = [when for when in days_in_window(day) if when >= home.days[0]]
        return next((f"{when} is another now" for when in kept if not home.stands(when, window.get(str(when), ""))), "")
    if step in _READS and home.time(day, step) < home.time(day, _READS[step]):
        return f"{_READS[step]} has run since"
    return _outdated_checkpoint(day, home) if step == "train" else ""


def _outdated_checkpoint(day: date, home: Home) -> str:
    record, version = home.read(day, "train"), home.head(day)
    if record.get("version") != version:
        return f"it recorded {record.get('version')}, the store has {version}"
    policy, eve = home.settings.train.missing_parent, home.head(day - ONE_DAY)
    if record.get("full_retrain"):  # no child of the eve's, but it has read what the eve's was trained on
        return "" if record["eve"] == eve else f"the days before it were trained again: to {eve}, after {record['eve']}"
    older = [] if eve else [known for known in home.trained if known < day]
    if not eve and (not older or policy == "fail"):
        return ""  # where the chain begins, or what is kept of it
    expected = eve or (home.head(older[-1]) if policy == "last_trained" else None)
    return "" if record.get("parent") == expected else f"its parent was {record.get('parent')}, is {expected}"


def _repair(day: date, last: date, broken: list[str]) -> str:
    """Return the command that mends a day, and the days up to `last` where they descend from what is broken."""
    if set(broken) - set(_UNREAD):
        return f"esmm run {day}" + (f" --to {last}" if last > day else "")
    return " && ".join(f"esmm {step} {day}" for step in broken)


def _settings_changed(home: Home) -> bool:
    newest = home.head(home.trained[-1]) if home.trained else None
    manifest = home.store.folder / str(newest) / "manifest.json"
    return manifest.exists() and read_object(manifest, repair="train its day again").get("settings") != home.settings.fingerprint


def _times(folder: Path) -> dict[str, int]:
    """Return when each record of a day was written, in ns."""
    with os.scandir(folder) as entries:
        return {entry.name.removesuffix(".json"): entry.stat().st_mtime_ns for entry in entries if not entry.name.startswith(".")}
