"""The day as a Kubeflow pipeline: the same steps and edges as `dags/esmm_daily.py`, but for its sensor.

Nothing waits here: `ingest` refuses a day whose logs have not all arrived, and whatever starts the pipeline starts it again later.

`python -m components.kubeflow.pipeline OUT.yaml` compiles it, with as many tasks to share a step as `work.buckets` says.
"""
# mypy: disable-error-code="misc, untyped-decorator"

import sys
from typing import Any, TypeAlias

from kfp import compiler, dsl

from components.kubeflow import tasks
from components.settings import load_settings

Component: TypeAlias = Any  # dsl.base_component.BaseComponent; kfp has no types


def pipeline_of(buckets: int) -> Component:
    """Draw a day with so many buckets of users."""
    line = _in_a_line(buckets)

    @dsl.pipeline(name="esmm-daily", description="Raw logs of a day to a gated champion and online features.")
    def esmm_daily(day: str) -> None:
        """Run a UTC day, `YYYY-MM-DD`; nothing is cached, for the inputs are the day's tables, not the parameters."""
        before: list[dsl.PipelineTask] = []
        for component in line:
            before = [_run(component, day=day).after(*before)]
            if component is tasks.aggregate:
                _run(tasks.publish, day=day).after(*before)

    return esmm_daily


def _in_a_line(buckets: int) -> list[Component]:
    """Return what runs one after the other."""
    shared: dict[str, list[Component]] = {"label": [], "relabel": [], "aggregate": []}
    if buckets > 1:
        for step in ("label", "relabel"):
            shared[step] = [_shares(task, buckets, name=step) for task in (tasks.attribute, tasks.lay)]
        shared["aggregate"] = [_shares(tasks.prepare, buckets)]
    labelled = [*shared["label"], tasks.label, tasks.validate, *shared["relabel"], tasks.relabel]
    return [tasks.ingest, *labelled, *shared["aggregate"], tasks.aggregate, tasks.train, tasks.evaluate, tasks.promote]


def _shares(component: Component, buckets: int, **given: str) -> Component:
    """Return a pipeline of its own, so that tasks can come after all of it: the component once for each bucket, at once."""

    @dsl.pipeline(name="-".join([component.name, *given.values(), "shares"]))
    def shares(day: str) -> None:
        with dsl.ParallelFor(list(range(buckets))) as bucket:
            _run(component, day=day, bucket=bucket, **given)

    return shares


def _run(component: Component, **arguments: object) -> dsl.PipelineTask:
    task = component(**arguments)
    task.set_caching_options(False)
    return task


if __name__ == "__main__":
    compiler.Compiler().compile(pipeline_of(load_settings().work.buckets), sys.argv[1])
