"""A TrainJob from submission to verdict, against a stand-in API server."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import pytest

from components.cli import group, main
from components.errors import DataError, MissingParentError, ServiceError, SettingsError
from components.kubeflow import launch
from components.kubeflow.cluster import Cluster
from components.kubeflow.launch import State
from components.kubeflow.trainjob import render
from components.records import Records
from components.settings import Settings, load_settings
from tests.chains import change
from tests.kubeflow.conftest import PAUSE, submit, trained, watch
from tests.kubeflow.stand_in import StandIn


def test_a_job_is_submitted_once_watched_and_complete(cluster: StandIn, settings: Settings, second: date) -> None:
    name = submit(settings, second)
    assert cluster.job["spec"] == render(second, settings)["spec"]
    assert not trained(settings, second)  # a record that is there afterwards is the job's
    cluster.at_look(5, cluster.complete)
    watch(name, settings)
    assert (cluster.looks, cluster.made) == (5, 1)
    with pytest.raises(
        ServiceError, match=r"expected TrainJob \S+, which is complete, to leave .*train.json, found nothing; let the runtime"
    ):
        launch.require_outcome(second, name, settings)
    Records(settings.root).write(second, "train", {"version": "v"})
    launch.require_outcome(second, name, settings)


def test_a_job_that_runs_is_found_again_and_its_record_stays(cluster: StandIn, settings: Settings, second: date) -> None:
    name = submit(settings, second)
    Records(settings.root).write(second, "train", {"version": "of the job that is about to end"})
    assert submit(settings, second) == name
    assert (cluster.made, trained(settings, second)) == (1, True)


def test_a_job_made_between_two_requests_is_found(
    cluster: StandIn, settings: Settings, second: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = submit(settings, second)
    find, blind = Cluster.find, iter([True])
    monkeypatch.setattr(Cluster, "find", lambda self, name: None if next(blind, False) else find(self, name))
    assert submit(settings, second) == name
    assert [method for method, _ in cluster.asked] == ["GET", "POST", "POST", "GET"]


def be_deleted(cluster: StandIn) -> None:
    cluster.job["metadata"]["deletionTimestamp"] = "2024-05-02T00:00:00Z"
    cluster.dying += 1  # it is looked at once more


@pytest.mark.parametrize("end", [StandIn.complete, StandIn.fail, be_deleted])
def test_a_job_that_has_ended_is_replaced_after_its_pods_are_gone(
    cluster: StandIn, settings: Settings, second: date, end: Callable[[StandIn], None]
) -> None:
    name = submit(settings, second)
    cluster.dying = 3
    end(cluster)
    assert submit(settings, second) == name
    assert [method for method, _ in cluster.asked] == ["GET", "POST", "GET", "DELETE", "GET", "GET", "GET", "GET", "POST"]
    assert launch.state_of(cluster.job) is State.ACTIVE


def test_a_job_of_other_content_is_left_alone_and_said(
    cluster: StandIn, settings: Settings, second: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = submit(settings, second)
    monkeypatch.setenv("ESMM_KUBEFLOW__NODES", "2")
    with pytest.raises(SettingsError, match=rf"expected TrainJob {name} to be of manifest \w+, found it running .*delete trainjob {name}`"):
        submit(load_settings(), second)
    assert (list(cluster.jobs), cluster.made) == ([name], 1)


def test_a_job_of_inputs_that_have_changed_is_deleted_and_another_submitted(cluster: StandIn, settings: Settings, second: date) -> None:
    name = submit(settings, second)
    assert launch.resume(second, name, settings, pause=PAUSE) is State.ACTIVE
    change(settings, 2, "aggregate", seconds=2)
    assert launch.resume(second, name, settings, pause=PAUSE) is State.GONE
    assert not cluster.jobs
    assert submit(settings, second) != name


def test_a_job_that_failed_of_the_data_raises_its_error_and_where_its_logs_are(cluster: StandIn, settings: Settings, second: date) -> None:
    name = submit(settings, second)
    said = "MissingParentError: train 2024-05-02: expected a checkpoint of 2024-05-01, found none; run `esmm run 2024-05-01`\n"
    cluster.fail("RuntimeError: Connection closed by peer\n", said)
    with pytest.raises(MissingParentError) as raised:
        watch(name, settings)
    assert str(raised.value) == (
        "train 2024-05-02: expected a checkpoint of 2024-05-01, found none; run `esmm run 2024-05-01`. "
        f"TrainJob {name} failed (FailedJobs: jobset failed due to one or more job failures); its logs: "
        f"`kubectl -n esmm logs -l jobset.sigs.k8s.io/jobset-name={name} --all-containers --prefix --tail=-1`"
    )


@pytest.mark.parametrize(
    ("end", "says"),
    [
        (partial(StandIn.fail, status=137, reason="OOMKilled"), r"its pods: none"),
        (lambda cluster: cluster.fail("", status=137, reason="OOMKilled"), r"its pods: OOMKilled with status 137"),
        (lambda cluster: cluster.fail("OSError: disk\nos: no type"), r"its pods: Error with status 1; OSError: disk; os: no type"),
        (lambda cluster: cluster.fail("ServiceError: no server"), r"ServiceError: no server"),
    ],
)
def test_a_job_that_failed_otherwise_is_worth_another_try(
    cluster: StandIn, settings: Settings, second: date, end: Callable[[StandIn], None], says: str
) -> None:
    name = submit(settings, second)
    end(cluster)
    with pytest.raises(ServiceError, match=says):
        watch(name, settings)


def test_a_pod_that_was_started_again_says_why_it_ended(cluster: StandIn, settings: Settings, second: date) -> None:
    name = submit(settings, second)
    cluster.fail("DataError: no rows")
    container = cluster.pods[0]["status"]["containerStatuses"][0]
    container["lastState"], container["state"] = container["state"], {"running": {}}
    with pytest.raises(DataError, match="no rows"):
        watch(name, settings)


def test_pods_that_may_not_be_seen_leave_the_verdict_as_the_job_says_it(cluster: StandIn, settings: Settings, second: date) -> None:
    name = submit(settings, second)
    cluster.fail("DataError: no rows")
    cluster.pods_allowed = False
    with pytest.raises(ServiceError, match=r"failed \(FailedJobs: .*its pods: unknown \(GET .*status 403 \(pods is forbidden\); give the"):
        watch(name, settings)


def test_an_unreachable_server_is_waited_for_while_a_job_runs_and_not_while_it_is_submitted(
    cluster: StandIn, settings: Settings, second: date, caplog: pytest.LogCaptureFixture
) -> None:
    name = submit(settings, second)
    cluster.at_look(2, partial(cluster.go_away, 3))
    cluster.at_look(4, cluster.complete)
    watch(name, settings)
    assert sum("expected an answer" in message for message in caplog.messages) == 3
    cluster.go_away(1)
    with pytest.raises(ServiceError, match=rf"GET {cluster.url}/apis/\S+{name}: expected an answer, found"):
        submit(settings, second)


def test_a_submission_whose_answer_was_lost_is_found_by_the_next_try(
    cluster: StandIn, settings: Settings, second: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Cluster.create

    def lost(self: Cluster, manifest: dict[str, object]) -> None:
        create(self, manifest)
        raise ServiceError("the line broke")

    with monkeypatch.context() as patch:
        patch.setattr(Cluster, "create", lost)
        with pytest.raises(ServiceError, match="line broke"):
            submit(settings, second)
    assert submit(settings, second) == cluster.job["metadata"]["name"]
    assert cluster.made == 1


def test_a_job_that_takes_too_long_is_deleted_however_often_it_was_found_again(cluster: StandIn, settings: Settings, second: date) -> None:
    name = submit(settings, second)
    cluster.pods = [{"metadata": {"name": "node-0-0"}, "status": {"phase": "Pending"}}]
    cluster.job["metadata"]["creationTimestamp"] = datetime(2024, 5, 3, tzinfo=UTC).isoformat()
    with pytest.raises(
        ServiceError, match=r"within kubeflow.timeout \(12:00:00\) .*found none, and it was deleted; its pods: Pending; see"
    ):
        watch(name, settings)
    assert cluster.asked[-1] == ("DELETE", name)


def test_a_server_that_stays_away_ends_the_wait_too(
    cluster: StandIn, settings: Settings, second: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = submit(settings, second)
    monkeypatch.setenv("ESMM_KUBEFLOW__TIMEOUT", "PT0.2S")
    cluster.go_away(1_000_000)
    with pytest.raises(ServiceError, match=r"it could not be deleted \(DELETE .*; its pods: unknown \(GET .*expected an answer"):
        watch(name, load_settings())


def test_a_job_that_others_delete_ends_the_wait(cluster: StandIn, settings: Settings, second: date) -> None:
    name = submit(settings, second)
    cluster.at_look(3, cluster.jobs.clear)
    with pytest.raises(ServiceError, match=f"TrainJob {name} was deleted before it ended"):
        watch(name, settings)


def test_a_command_that_fails_in_a_container_leaves_its_last_words(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: StandIn, second: date
) -> None:
    words = tmp_path / "termination-log"
    monkeypatch.setattr(group, "_LAST_WORDS", words)
    with pytest.raises(SystemExit, match="1"):
        main(["train", "2024-05-09"])
    assert not words.exists()  # not in a container
    words.touch()
    for _ in range(2):  # two ranks
        with pytest.raises(SystemExit, match="1"):
            main(["train", "2024-05-09"])
    first, again = words.read_text().splitlines()
    assert first == again
    assert first.startswith("MissingInputError: ")
    name = submit(settings, second)
    cluster.fail(words.read_text())
    with pytest.raises(DataError, match="aggregate of 2024-05-09 has not run"):
        watch(name, settings)
