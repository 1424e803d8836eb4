"""The operator as a worker runs it, without a scheduler: `python airflow_task.py DAY STORE [TIMES|die]`.

STORE is the file of a task state store. TIMES is how often the task is run, as it is after being cleared; `die` ends the process as soon
as the store holds the job's name. Prints a line for each run: ok, or the error.
"""

import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from airflow.sdk.bases.operator import ExecutorSafeguard

from components.kubeflow.operator import TrainJobOperator


class Store:
    """A task state store in a file."""

    def __init__(self, path: Path, *, deadly: bool) -> None:
        self.path, self.deadly = path, deadly

    def get(self, key: str) -> str | None:
        return json.loads(self.path.read_text()).get(key) if self.path.exists() else None

    def set(self, key: str, value: str) -> None:
        self.path.write_text(json.dumps({key: value}))
        if self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def delete(self, key: str) -> None:
        assert self.get(key)
        self.path.unlink()


def main(day: str, store: str, times: str) -> None:
    TrainJobOperator.poll_interval = timedelta(milliseconds=5)
    for _ in range(1 if times == "die" else int(times)):
        task = TrainJobOperator(task_id="train", day=day)
        signal.signal(signal.SIGTERM, lambda *_, task=task: task.on_kill())  # as Airflow's task runner does
        try:
            ExecutorSafeguard.tracker.set(task)
            task.execute({"task_state_store": Store(Path(store), deadly=times == "die")})
            said = "ok"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        sys.stdout.write(said + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
