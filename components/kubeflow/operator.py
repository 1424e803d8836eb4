"""The Airflow operator that trains a day as a TrainJob, for `train.where = "kubeflow"`."""
# mypy: disable-error-code="misc"

import logging
from datetime import date, timedelta
from typing import Any

from airflow.sdk import BaseOperator, ResumableJobMixin

Context = Any  # airflow.sdk.Context; airflow has no types


class TrainJobOperator(ResumableJobMixin, BaseOperator):
    """Submit the TrainJob of a UTC day and wait for its verdict; a worker that died meanwhile finds the job again.

    The job's name is kept with the task instance while it is in flight, no longer: Airflow keeps it when a task is cleared, and a cleared
    task trains again.
    """

    template_fields = ("day",)
    external_id_key = "trainjob"
    poll_interval = timedelta(seconds=15)

    def __init__(self, *, day: str, **kwargs: Any) -> None:
        """Take the day, YYYY-MM-DD, and what every task takes."""
        super().__init__(**kwargs)
        self.day = day
        self.job, self.killed = "", False

    def execute(self, context: Context) -> None:
        """Train the day, check that the record of its checkpoint arrived, and forget the job."""
        from components.kubeflow import launch

        logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for each look
        self.execute_resumable(context)
        launch.require_outcome(date.fromisoformat(self.day), self.job, self._settings())
        if store := context.get("task_state_store"):
            store.delete(self.external_id_key)

    def submit_job(self, context: Context) -> str:  # noqa: ARG002 - the mixin's signature
        """Create the TrainJob, or find it running; return its name."""
        from components.kubeflow import launch

        self.job = launch.submit(date.fromisoformat(self.day), self._settings(), pause=self.poll_interval.total_seconds())
        if self.killed:  # between two requests, when there was nothing to delete yet
            self.on_kill()
        return self.job

    def get_job_status(self, external_id: str, context: Context) -> str:  # noqa: ARG002
        """Return the `launch.State` of a job submitted before."""
        from components.kubeflow import launch

        return launch.resume(date.fromisoformat(self.day), external_id, self._settings(), pause=self.poll_interval.total_seconds())

    def is_job_active(self, status: str) -> bool:
        """Tell whether there is something to wait for."""
        return status == "active"

    def is_job_succeeded(self, status: str) -> bool:
        """Tell whether it is complete."""
        return status == "complete"

    def poll_until_complete(self, external_id: str, context: Context) -> None:  # noqa: ARG002
        """Wait for the verdict; raises unless it is `Complete`."""
        from components.kubeflow import launch

        self.job = external_id
        launch.watch(external_id, self._settings(), pause=self.poll_interval.total_seconds())

    def get_job_result(self, external_id: str, context: Context) -> None:  # noqa: ARG002
        """Return nothing: what a job makes is in the home."""
        self.job = external_id

    def on_kill(self) -> None:
        """Delete the job: who kills the task does not want the day trained."""
        from components.errors import ServiceError, SettingsError
        from components.kubeflow.cluster import Cluster

        self.killed = True
        if not self.job:
            return
        try:
            Cluster(self._settings().kubeflow).delete(self.job)
        except (ServiceError, SettingsError) as error:
            self.log.error("TrainJob %s could not be deleted and trains on: %s", self.job, error)

    @staticmethod
    def _settings() -> Any:
        from components.settings import load_settings

        return load_settings()
