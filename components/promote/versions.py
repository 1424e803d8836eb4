"""One registered model version, and which of them later challengers are compared with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Model:
    """One registered version and what has been recorded of it."""

    version: str
    day: date
    parent: str
    """The version it was trained from; empty for a cold start."""
    verdict: str
    """Empty until the gate has spoken."""
    reason: str
    """Of the verdict, and why the champion alias did not follow a `promote`."""
    aliases: tuple[str, ...]
    created_at: datetime
    promoted: bool
    """The latest verdict is `promote`, whether or not a newer champion stood."""
    rolled_back: str
    """Why it was taken out of service; empty where it was not."""
    superseded_by: str
    """The version that a rerun of its day put in its place; empty where there is none."""
    tags: Mapping[str, str] = field(repr=False)
    number: int = field(repr=False)
    """MLflow's own number of the version."""

    @property
    def is_baseline(self) -> bool:
        """Whether challengers may be compared with it: it serves, or it was promoted and still stands for its day."""
        return not self.rolled_back and (CHAMPION in self.aliases or (self.promoted and not self.superseded_by))


def newest_baseline(models: Iterable[Model], *, before: date) -> Model | None:
    """Return the baseline of the newest day before `before`, the latest entered of that day; None where there is none."""
    earlier = (model for model in models if model.is_baseline and model.day < before)
    return max(earlier, key=lambda model: (model.day, model.number), default=None)
