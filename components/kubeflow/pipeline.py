"""The day as a Kubeflow pipeline: the same steps and edges as `dags/esmm_daily.py`, but for its sensor.

Nothing waits here: `ingest` refuses a day whose logs have not all arrived, and whatever starts the pipeline starts it again later.

`python -m components.kubeflow.pipeline OUT.yaml` compiles it.
"""
# mypy: disable-error-code="misc, untyped-decorator"

import sys

from kfp import compiler, dsl

from components.kubeflow import tasks


def _then(component: dsl.base_component.BaseComponent, day: str, *upstream: dsl.PipelineTask) -> dsl.PipelineTask:
    task = component(day=day)
    task.set_caching_options(False)
    return task.after(*upstream)


@dsl.pipeline(name="esmm-daily", description="Raw logs of a day to a gated champion and online features.")
def esmm_daily(day: str) -> None:
    """Run a UTC day, `YYYY-MM-DD`; nothing is cached, for the inputs are the day's tables, not the parameters."""
    valid = _then(tasks.validate, day, _then(tasks.label, day, _then(tasks.ingest, day)))
    ready = _then(tasks.aggregate, day, _then(tasks.relabel, day, valid))
    _then(tasks.publish, day, ready)
    _then(tasks.promote, day, _then(tasks.evaluate, day, _then(tasks.train, day, ready)))


if __name__ == "__main__":
    compiler.Compiler().compile(esmm_daily, sys.argv[1])
