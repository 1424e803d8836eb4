"""`esmm experiment`: the world, the runs that are not there yet, then the tables and plots. A killed one goes on where it was."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from components.errors import SettingsError
from components.experiment.arms import find_arms
from components.experiment.curve import write_curve
from components.experiment.pool import each
from components.experiment.runs import Labelled, Plan, as_table, run
from components.experiment.summary import summarise
from components.experiment.tables import write_results
from components.experiment.training import Job, base_first
from components.experiment.worlds import Size, make_world, parts_of, world_settings
from components.records import Record
from components.settings import Settings
from components.simulate.worlds import find_world

log = logging.getLogger("esmm")
Progress = Callable[[str, int, int], None]
"""Called with what was done, how many parts of it, and of how many."""


def experiment(
    size: Size,
    arms: Sequence[str],
    seeds: int,
    out: Path,
    settings: Settings,
    *,
    labels: Labelled,
    shares: Sequence[float],
    progress: Progress,
) -> Record:
    """Train every arm with seeds 0, 1, ... on one world, judge them and write results.{md,csv,json} and plots into `out`.

    labels: as of `Plan`.  shares: of the training rows; the results are those of the largest, and with several curve.{md,csv,png} has
    the AUCs over them.  settings: [model] and [train] are those of all arms but for what an arm changes; the world and its lake are
    under `out`. Returns the files written. Raises SettingsError for an arm or a world that there is not, before anything is made.
    """
    names = find_arms(arms)
    require_world(size.world)
    rows = make_world(size, out / "worlds" / size.key, settings, counter(progress, f"world {size.key}", parts_of(size)))
    jobs = [(arm, seed) for arm in names for seed in range(seeds)]
    summaries = {}
    for share in sorted(set(shares)):
        folder = out / "runs" / f"{size.key}-{labels}-{share:g}"
        plan = Plan(rows, folder, world_settings(rows.folder, settings), labels, share)
        _run_missing(jobs, plan, progress)
        runs = {(arm, seed): kept for arm, seed in jobs if (kept := plan.finished(arm, seed))}
        table = as_table(runs)
        summaries[share] = summarise(table)
    written = write_results(out, size, table, summaries[share], told=next(iter(runs.values()))["told"])
    return {**written, **(write_curve(out, size, summaries) if len(summaries) > 1 else {})}


def require_world(name: str) -> None:
    """Raise SettingsError for a world that there is not."""
    try:
        find_world(name)
    except ValueError as error:
        raise SettingsError(f"experiment: {error}; choose one of them") from None


def _run_missing(jobs: Sequence[Job], plan: Plan, progress: Progress) -> None:
    """Do the runs that are not there: BASE first, whose click network the others are judged with."""
    missing = [job for job in jobs if not plan.finished(*job)]
    done = counter(progress, "runs", len(jobs), first=len(jobs) - len(missing))
    for part in base_first(missing):
        for arm, seed in each(partial(run, plan=plan), part):
            done(f"{arm} {seed}")


def counter(progress: Progress, name: str, total: int, first: int = 0) -> Callable[[str], None]:
    """Return what counts parts, the first of which are done already."""
    done = first
    progress(name, done, total)

    def count(part: str) -> None:
        nonlocal done
        done += 1
        log.info("experiment: %s: %s, %d of %d", name, part, done, total)
        progress(name, done, total)

    return count
