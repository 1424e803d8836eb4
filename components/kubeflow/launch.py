"""A day's TrainJob from its submission to its verdict. Knows no orchestrator: `operator.py` is the skin that Airflow sees.

A job's name says what it trains, so that whoever submits the same again finds the job that runs; one that has ended is replaced, as
running the day again asks.
"""

import logging
import time
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from components import errors
from components.errors import DataError, ServiceError, SettingsError
from components.kubeflow.cluster import Cluster
from components.kubeflow.trainjob import DIGEST, Manifest, render
from components.records import Records
from components.settings import Settings

log = logging.getLogger("esmm")
_DELETION = timedelta(minutes=5)
"""How long the pods of a deleted job are waited for; Kubernetes kills them after 30 s unless the runtime says otherwise."""


class State(StrEnum):
    """What has become of a TrainJob."""

    ACTIVE = "active"
    """Waiting for nodes, suspended or running."""
    COMPLETE = "complete"
    FAILED = "failed"
    GONE = "gone"
    """Not there, or being deleted."""


def state_of(job: Manifest | None) -> State:
    """Return what a TrainJob, as the cluster shows it, has become: its last true condition of an end, if any."""
    if job is None or "deletionTimestamp" in job["metadata"]:
        return State.GONE
    ends = {"Complete": State.COMPLETE, "Failed": State.FAILED}
    true = [condition["type"] for condition in _conditions(job) if condition["status"] == "True"]
    return next((ends[kind] for kind in reversed(true) if kind in ends), State.ACTIVE)


def submit(day: date, settings: Settings, *, pause: float) -> str:
    """Create the TrainJob of a day, or find it running; return its name. One of that name that has ended is deleted first.

    The day's record of training is removed before, so that one that is there afterwards is the job's. `pause`: seconds between looks.
    Raises SettingsError where a job of that name runs that was submitted with other settings.
    """
    manifest, cluster = render(day, settings), Cluster(settings.kubeflow)
    name: str = manifest["metadata"]["name"]
    found = cluster.find(name)
    if found and state_of(found) is not State.ACTIVE:
        log.info("train %s: TrainJob %s has ended; it is replaced", day, name)
        _delete(name, cluster, pause=pause)
        found = None
    if not found:
        Records(settings.root).remove(day, "train")
        found = cluster.create(manifest)
    expected, digest = (each["metadata"].get("annotations", {}).get(DIGEST) for each in (manifest, found))
    if digest != expected:
        raise SettingsError(
            f"train {day}: expected TrainJob {name} to be of manifest {expected}, found it running with {digest}: it was submitted with "
            f"other settings of [kubeflow]; wait for its end, or `kubectl -n {settings.kubeflow.namespace} delete trainjob {name}`"
        )
    log.info("train %s: TrainJob %s trains on %d nodes; its logs: `%s`", day, name, settings.kubeflow.nodes, cluster.logs(name))
    return name


def resume(day: date, name: str, settings: Settings, *, pause: float) -> State:
    """Return what has become of a TrainJob submitted before; one of other inputs or settings than the day has now is deleted."""
    cluster = Cluster(settings.kubeflow)
    if name == render(day, settings)["metadata"]["name"]:
        return state_of(cluster.find(name))
    log.warning("train %s: its inputs have changed; TrainJob %s is deleted", day, name)
    _delete(name, cluster, pause=pause)
    return State.GONE


def watch(name: str, settings: Settings, *, pause: float) -> None:
    """Wait until a TrainJob is complete, looking at it every `pause` seconds; an unreachable server is waited for.

    Raises what its pods died of where that is an error of data or settings, and ServiceError for any other end: a failure, a deletion by
    others, or `kubeflow.timeout` since its creation, after which it is deleted.
    """
    cluster, ends_at = Cluster(settings.kubeflow), datetime.now(UTC) + settings.kubeflow.timeout
    while True:
        try:
            job = cluster.find(name)
        except ServiceError as error:
            log.warning("TrainJob %s: %s", name, error)
        else:
            state = state_of(job)
            if job is None or state is State.GONE:
                raise ServiceError(f"TrainJob {name} was deleted before it ended; run the task again")
            if state is State.FAILED:
                raise _verdict(job, cluster)
            if state is State.COMPLETE:
                return
            ends_at = datetime.fromisoformat(job["metadata"]["creationTimestamp"]) + settings.kubeflow.timeout
        if datetime.now(UTC) >= ends_at:
            raise _timed_out(name, cluster)
        time.sleep(pause)


def require_outcome(day: date, name: str, settings: Settings) -> None:
    """Raise ServiceError unless a complete TrainJob left the day's record of training where this process looks for it.

    A file system of the network may show it a minute later: another try finds the same job complete.
    """
    records = Records(settings.root)
    if records.read(day, "train") is None:
        raise ServiceError(
            f"train {day}: expected TrainJob {name}, which is complete, to leave {records.path(day, 'train')}, found nothing; "
            f"let the runtime {settings.kubeflow.runtime} mount the home under {settings.root}"
        )


def _delete(name: str, cluster: Cluster, *, pause: float) -> None:
    """Delete a TrainJob and wait until its pods have ended, for they could write the checkpoint that the next ones write."""
    cluster.delete(name)
    ends_at = time.monotonic() + _DELETION.total_seconds()
    while cluster.find(name):
        if time.monotonic() >= ends_at:
            raise ServiceError(f"TrainJob {name}: expected its pods to end within {_DELETION} of its deletion, found it still there")
        time.sleep(pause)


def _verdict(job: Manifest, cluster: Cluster) -> DataError | SettingsError | ServiceError:
    """Return the error that a failed TrainJob stands for: of data or settings if a pod says so in its last words, else one to try again."""
    name = job["metadata"]["name"]
    ended = next(condition for condition in _conditions(job) if condition["type"] == "Failed")
    failed = f"TrainJob {name} failed ({ended['reason']}: {ended['message']}); its logs: `{cluster.logs(name)}`"
    ends, said = _pods(name, cluster)
    for line in said:
        kind, _, message = line.partition(": ")
        error = getattr(errors, kind, None)
        if isinstance(error, type) and issubclass(error, DataError | SettingsError):
            return error(f"{message}. {failed}")
    return ServiceError(f"{failed}; its pods: {'; '.join([*ends, *said])}")


def _timed_out(name: str, cluster: Cluster) -> ServiceError:
    """Delete a TrainJob that takes too long, and return the error that says what its pods did."""
    ends, said = _pods(name, cluster)
    try:
        cluster.delete(name)
        done = "it was deleted"
    except (ServiceError, SettingsError) as error:
        done = f"it could not be deleted ({error})"
    return ServiceError(
        f"TrainJob {name}: expected its end within kubeflow.timeout ({cluster.settings.timeout}) of its creation, found none, and {done}; "
        f"its pods: {'; '.join([*ends, *said])}; see what they wait for, or raise kubeflow.timeout"
    )


def _pods(name: str, cluster: Cluster) -> tuple[list[str], list[str]]:
    """Return how each pod of a TrainJob is or ended, and the last words of its containers, line by line."""
    try:
        pods = cluster.pods(name)
    except (ServiceError, SettingsError) as error:
        return [f"unknown ({error})"], []
    ends, said = [], []
    for status in (pod.get("status", {}) for pod in pods):
        ended = [end for container in status.get("containerStatuses", []) if (end := _terminated(container))]
        said += [line for end in ended for line in end.get("message", "").splitlines()]
        ends += [f"{end.get('reason', 'ended')} with status {end['exitCode']}" for end in ended] or [status.get("phase", "Unknown")]
    return ends or ["none"], said


def _terminated(container: Manifest) -> Manifest | None:
    """Return how a container ended: now, or before it was started again."""
    states = (container.get(when, {}).get("terminated") for when in ("state", "lastState"))
    return next((state for state in states if state), None)


def _conditions(job: Manifest) -> list[Manifest]:
    found: list[Manifest] = job.get("status", {}).get("conditions", [])
    return found
