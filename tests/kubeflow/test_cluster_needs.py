"""`infra/kubeflow.yaml`: it fits the settings' defaults and what the operator asks for, no more."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.kubeflow.cluster import Cluster
from components.kubeflow_settings import Kubeflow
from components.settings import Settings
from tests.kubeflow.stand_in import StandIn

FILE = Path(__file__).parents[2] / "infra" / "kubeflow.yaml"


@pytest.fixture(scope="module")
def objects() -> dict[str, dict[str, Any]]:
    return {found["kind"]: found for found in yaml.safe_load_all(FILE.read_text())}


def test_its_names_are_the_defaults(objects: dict[str, dict[str, Any]]) -> None:
    settings = Kubeflow()
    assert objects["Namespace"]["metadata"]["name"] == settings.namespace
    assert objects["ClusterTrainingRuntime"]["metadata"]["name"] == settings.runtime
    assert {found["metadata"].get("namespace", settings.namespace) for found in objects.values()} == {settings.namespace}


def test_the_account_may_do_what_is_asked_for_and_no_more(objects: dict[str, dict[str, Any]], cluster: StandIn, settings: Settings) -> None:
    asked = Cluster(settings.kubeflow)
    asked.create({**MINIMAL, "metadata": {"name": "a", "namespace": "esmm"}})
    asked.find("a")
    asked.pods("a")
    asked.delete("a")
    verbs = {"POST": "create", "GET": "get", "DELETE": "delete"}
    needed = {("pods", "list") if name == "pods" else ("trainjobs", verbs[method]) for method, name in cluster.asked}
    allowed = {(resource, verb) for rule in objects["Role"]["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert needed == allowed


def test_the_runtime_leaves_retries_to_airflow_and_gives_pods_no_token(objects: dict[str, dict[str, Any]]) -> None:
    (node,) = objects["ClusterTrainingRuntime"]["spec"]["template"]["spec"]["replicatedJobs"]
    job = node["template"]["spec"]
    pod = job["template"]["spec"]
    assert (job["backoffLimit"], pod["restartPolicy"], pod["automountServiceAccountToken"]) == (0, "Never", False)
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == objects["PersistentVolumeClaim"]["metadata"]["name"]


MINIMAL = {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "spec": {"runtimeRef": {"name": "esmm"}}}
