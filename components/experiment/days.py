"""`esmm experiment-days`: the calendar, the courses that are not there yet, then the tables and the curves. A killed one goes on."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from components.errors import SettingsError
from components.experiment.calendar import Logs, make_calendar, parts_of
from components.experiment.courses import Plan, as_table, go_through
from components.experiment.day_tables import write_days
from components.experiment.experiment import Progress, counter, require_world
from components.experiment.pool import each
from components.experiment.strategies import find_strategies
from components.experiment.worlds import Size
from components.records import Record
from components.settings import Settings


def experiment_days(
    source: Size | Logs, strategies: Sequence[str], seeds: int, judged: int, out: Path, settings: Settings, *, progress: Progress
) -> Record:
    """Take every strategy with seeds 0, 1, ... through the days of a source, and write days.{md,csv,png} into `out`.

    judged: so many days at the end are judged on, each by the model of the day before.  settings: [model] and [train] are those of all
    strategies but for what one changes. Returns the files written. Raises SettingsError for a strategy or a world that there is not, or
    for days that are too few, before anything is made.
    """
    names = find_strategies(strategies)
    if isinstance(source, Size):
        require_world(source.world)
    if judged >= source.days:
        raise SettingsError(f"experiment: expected fewer judged days than the {source.days} there are, found {judged}; train on one first")
    parts = counter(progress, f"days {source.key}", parts_of(source, settings))
    calendar = make_calendar(source, out / "calendars" / source.key, settings, parts)
    plan = Plan(calendar, out / "courses" / f"{source.key}-{judged}", judged)
    jobs = [(name, seed) for seed in range(seeds) for name in names]
    missing = [job for job in jobs if not plan.finished(*job)]
    done = counter(progress, "courses", len(jobs), first=len(jobs) - len(missing))
    for name, seed in each(partial(go_through, plan=plan), missing):
        done(f"{name} {seed}")
    return write_days(out, source.key, as_table({job: kept for job in jobs if (kept := plan.finished(*job))}))
