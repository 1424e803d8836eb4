"""One course: a strategy and a seed taken through a calendar, each day's model judged on the day after, kept as one JSON file, whole."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from components.checkpoints import Checkpoint
from components.evaluate.auc import Booleans, Floats
from components.evaluate.calibration import log_loss
from components.experiment.arms import Arm
from components.experiment.calendar import Calendar
from components.experiment.metrics import Findings
from components.experiment.strategies import STRATEGIES, Course, Strategy
from components.experiment.training import Job, arm_settings
from components.inputs import ONE_DAY
from components.records import Record, read_object, write_text
from components.settings import Settings

AUCS = {"cvr_auc_all": "CVR, all impressions", "cvr_auc": "CVR, clicked", "ctcvr_auc": "CTCVR", "ctr_auc": "CTR"}
TASKS = {"ctr": "CTR", "cvr": "CVR, clicked", "ctcvr": "CTCVR"}
_JUDGED = ("final_clicked", "final_converted", "converts_if_clicked")
_UNTOLD = "logs do not tell what an unclicked impression would have led to"


@dataclass(frozen=True)
class Plan:
    """What all courses of an experiment share."""

    calendar: Calendar
    folder: Path
    """Of the courses' files."""
    judged: int
    """So many days at the end."""

    @property
    def served_from(self) -> date:
        """The first run whose model is judged."""
        return self.calendar.all_days[-1 - self.judged]

    def kept(self, strategy: str, seed: int) -> Path:
        """Return the file of a course."""
        return self.folder / f"{strategy}-{seed}.json"

    def told(self, strategy: str, seed: int) -> Record:
        """Return what decides a course, JSON-able: one that was made of anything else is gone through again."""
        own = course_settings(self.calendar.settings, STRATEGIES[strategy], seed)
        days = [str(day) for day in (self.calendar.first, self.served_from, self.calendar.all_days[-1])]
        return {"strategy": strategy, "seed": seed, "days": days, "settings": own.fingerprint}

    def finished(self, strategy: str, seed: int) -> Record | None:
        """Return a course that is there and made of the same, or None."""
        path = self.kept(strategy, seed)
        found = read_object(path, repair="remove it and run the experiment again") if path.exists() else {}
        return found if found.get("told") == self.told(strategy, seed) else None


def course_settings(settings: Settings, strategy: Strategy, seed: int) -> Settings:
    """Return the settings of a course: the strategy's network, the seed, one thread."""
    return arm_settings(settings, Arm(strategy.title, strategy.model), seed)


def go_through(job: Job, plan: Plan) -> None:
    """Take a strategy through the calendar, judge its models and keep what was found."""
    name, seed = job
    settings = course_settings(plan.calendar.settings, STRATEGIES[name], seed)
    course = Course(plan.calendar, settings, plan.served_from)
    days = []
    for run, model in zip(course.runs, STRATEGIES[name].serve(course), strict=True):
        if model is None or run < plan.served_from:
            continue
        day = run + ONE_DAY
        found = judge_day(plan.calendar.path(day), model, settings)
        cost = {"cpu_s": course.cpu_s, "rows": course.rows}
        days.append({"day": str(day), **cost, "metrics": found.values, "undefined": found.reasons})
    write_text(plan.kept(name, seed), json.dumps({"told": plan.told(name, seed), "days": days}, indent=1, allow_nan=False) + "\n")


def judge_day(path: Path, model: Checkpoint, settings: Settings) -> Findings:
    """Judge a model on a day's rows against their final labels; where the truth is known, also by what each impression would lead to.

    Of each task: AUC, log loss, and the sums `expected` (of the scores) and `happened`, whose ratio over days is their PCOC.
    """
    from components.model.scoring import score

    rows = pl.scan_parquet(path)
    scored = score(rows, model, profile=settings.profile, settings=settings)
    known = rows.select(name for name in _JUDGED if name in rows.collect_schema()).collect()
    columns = {name: column.to_numpy() for name, column in {**known.to_dict(), **scored.to_dict()}.items() if name != "impression_id"}
    found, least = Findings(), settings.evaluation.min_positives
    clicked_N, converted_N = columns["final_clicked"], columns["final_converted"]
    _judge_task(found, "ctr", clicked_N, columns["pctr"], least)
    _judge_task(found, "cvr", converted_N[clicked_N], columns["pcvr"][clicked_N], least)
    _judge_task(found, "ctcvr", converted_N, columns["pctcvr"], least)
    if "converts_if_clicked" in columns:
        found.auc("cvr_auc_all", columns["converts_if_clicked"], columns["pcvr"], least)
    else:
        found.put("cvr_auc_all", None, _UNTOLD)
    return found


def _judge_task(found: Findings, task: str, happened_N: Booleans, score_N: Floats, least: int) -> None:
    found.auc(f"{task}_auc", happened_N, score_N, least)
    found.put(f"{task}_log_loss", log_loss(happened_N, score_N), "no rows, or a score is not strictly between 0 and 1")
    found.put(f"{task}_expected", float(score_N.sum()), "")
    found.put(f"{task}_happened", float(np.count_nonzero(happened_N)), "")


def as_table(courses: dict[Job, Record]) -> pl.DataFrame:
    """Return the courses as one row per strategy, seed and day: what training had cost by then, and the metrics, null where undefined."""
    rows = [
        {"strategy": name, "seed": seed, "day": date.fromisoformat(found["day"]), "cpu_s": found["cpu_s"], "rows": found["rows"]}
        | found["metrics"]
        for (name, seed), kept in courses.items()
        for found in kept["days"]
    ]
    return pl.DataFrame(rows, infer_schema_length=None)
