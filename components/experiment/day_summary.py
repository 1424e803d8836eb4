"""From courses to what they say: means over days and seeds, and paired differences to the daily chain with t intervals over seeds."""

from collections.abc import Mapping

import polars as pl

from components.experiment.courses import AUCS, TASKS
from components.experiment.strategies import DAILY, STRATEGIES
from components.experiment.summary import t_reach

LOSSES = {f"{task}_log_loss": title for task, title in TASKS.items()}
PCOCS = {f"{task}_pcoc": title for task, title in TASKS.items()}
COSTS = {"cpu_s_a_day": "CPU s a day", "cpu_s_last": "CPU s, last day", "rows_a_day": "rows a day"}


def summarise_days(courses: pl.DataFrame) -> pl.DataFrame:
    """Return one row per strategy and metric: mean and sd over seeds, the difference to the daily chain and the reach of its interval.

    courses: as of `as_table`.  AUCs and log losses are means over days, a PCOC is that of all days together, costs are of a judged day
    after the first. A difference is to the chain on the same days with the same seed. What is undefined is null.
    """
    chain = courses.filter(strategy=DAILY)
    found = []
    for name in names_in(courses):
        own = courses.filter(strategy=name)
        beside = chain.join(own, on=["seed", "day"], how="semi")
        mine, theirs = _per_seed(own), _per_seed(beside)
        found += [{"strategy": name, "days": own["day"].n_unique(), **_metric(mine, theirs, metric)} for metric in mine.columns[1:]]
    return pl.DataFrame(found, infer_schema_length=None)


def names_in(courses: pl.DataFrame) -> list[str]:
    """Return the strategies that are there, in the table's order."""
    known = set(courses["strategy"])
    return [name for name in STRATEGIES if name in known]


def _per_seed(courses: pl.DataFrame) -> pl.DataFrame:
    """Return one row per seed, ascending."""
    means = [pl.col(*AUCS, *LOSSES).mean()]
    ratios = [(pl.col(f"{task}_expected").sum() / pl.col(f"{task}_happened").sum()).alias(f"{task}_pcoc") for task in TASKS]
    each = {
        "cpu_s_a_day": pl.col("cpu_s").diff().mean(),
        "cpu_s_last": pl.col("cpu_s").diff().last(),
        "rows_a_day": pl.col("rows").diff().mean(),
    }
    return courses.sort("day").group_by("seed").agg(*means, *ratios, **each).sort("seed")


def _metric(mine: pl.DataFrame, theirs: pl.DataFrame, metric: str) -> Mapping[str, object]:
    paired = mine[metric] - theirs[metric]
    spread, pairs = paired.std(), paired.count()
    reach = t_reach(spread if isinstance(spread, float) else None, pairs)
    return {
        "metric": metric,
        "seeds": pairs,
        "mean": mine[metric].mean(),
        "sd": mine[metric].std(),
        "difference": paired.mean(),
        "reach": reach,
    }
