"""What is asked of a Kubernetes API server: TrainJobs of one namespace, and the pods they made. One request a call, nothing kept open.

The token is read from its file for each request and is in nothing else: no log, no message, no manifest. Proxies of the environment are
not asked, redirections not followed.
"""

import ssl
from typing import Any

import httpx

from components.errors import ServiceError, SettingsError
from components.kubeflow.trainjob import API_VERSION, Manifest
from components.kubeflow_settings import Kubeflow

_SECONDS = 10
_JOBSET = "jobset.sigs.k8s.io/jobset-name"
"""The label that a TrainJob's pods bear; its JobSet has its name."""


class Cluster:
    """A namespace of a cluster.

    Every method raises ServiceError where the server cannot be reached or fails, which may pass, and SettingsError where it refuses.
    """

    def __init__(self, kubeflow: Kubeflow) -> None:
        """Name the place; nothing is asked yet."""
        self.settings = kubeflow
        self.jobs = f"/apis/{API_VERSION}/namespaces/{kubeflow.namespace}/trainjobs"

    def find(self, name: str) -> Manifest | None:
        """Return a TrainJob with its status, or None where there is none."""
        return self._ask("GET", f"{self.jobs}/{name}", absent=(404,))

    def create(self, manifest: Manifest) -> Manifest:
        """Create a TrainJob and return it; where one of its name is there, that one. Fields that the cluster does not know are refused."""
        created = self._ask("POST", self.jobs, absent=(409,), json=manifest, params={"fieldValidation": "Strict"})
        found = created or self.find(name := manifest["metadata"]["name"])
        if not found:
            raise ServiceError(f"{self._named(name)}: expected it to be there, as creating it said, found none; try again")
        return found

    def delete(self, name: str) -> None:
        """Delete a TrainJob, if it is there, after its pods: until they have ended it is still found, with a `deletionTimestamp`."""
        self._ask("DELETE", f"{self.jobs}/{name}", absent=(404,), params={"propagationPolicy": "Foreground"})

    def pods(self, name: str) -> list[Manifest]:
        """Return the pods of a TrainJob, by name."""
        found = self._ask("GET", f"/api/v1/namespaces/{self.settings.namespace}/pods", params={"labelSelector": f"{_JOBSET}={name}"})
        return sorted((found or {}).get("items", []), key=lambda pod: str(pod["metadata"]["name"]))

    def logs(self, name: str) -> str:
        """Return the command that shows a TrainJob's logs."""
        return f"kubectl -n {self.settings.namespace} logs -l {_JOBSET}={name} --all-containers --prefix --tail=-1"

    def _named(self, name: str) -> str:
        return f"TrainJob {name} in namespace {self.settings.namespace} of {self.settings.server}"

    def _ask(self, method: str, path: str, *, absent: tuple[int, ...] = (), **given: Any) -> Manifest | None:
        """Send one request and return the object that answers it; None for a status of `absent`."""
        where = f"{method} {self.settings.server}{path}"
        try:
            answer = httpx.request(
                method,
                f"{self.settings.server}{path}",
                headers={"Authorization": f"Bearer {self._token()}"},
                verify=self._trusted(),
                timeout=_SECONDS,
                trust_env=False,
                **given,
            )
        except httpx.HTTPError as error:
            raise ServiceError(f"{where}: expected an answer, found {error or type(error).__name__}; look at the server") from None
        if answer.status_code in absent:
            return None
        if answer.is_success:
            return _object(answer, where)
        raise _refusal(answer, where, self.settings)

    def _token(self) -> str:
        try:
            token = self.settings.token_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise SettingsError(f"kubeflow.token_file {self.settings.token_file}: expected a token, found {_why(error)}") from None
        if not token.isprintable() or not token or " " in token:
            raise SettingsError(f"kubeflow.token_file {self.settings.token_file}: expected one line with a token, found none")
        return token

    def _trusted(self) -> ssl.SSLContext | bool:
        if not self.settings.server.startswith("https:"):
            return False  # loopback, without TLS
        try:
            return ssl.create_default_context(cafile=str(self.settings.ca_file))
        except OSError as error:  # of which a malformed certificate is one
            raise SettingsError(f"kubeflow.ca_file {self.settings.ca_file}: expected certificates (PEM), found {_why(error)}") from None


def _why(error: Exception) -> str:
    """Return what is wrong with a file, without what is in it."""
    return getattr(error, "strerror", None) or type(error).__name__


def _object(answer: httpx.Response, where: str) -> Manifest:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ServiceError(f"{where}: expected a JSON object, found {answer.text[:100]!r}; is kubeflow.server an API server?")
    return found


def _refusal(answer: httpx.Response, where: str, settings: Kubeflow) -> ServiceError | SettingsError:
    """Return the error that an answer stands for, with the server's own words."""
    try:
        said = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = answer.text[:200]
    found = f"{where}: expected success, found status {answer.status_code} ({said})"
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
        return ServiceError(f"{found}; try again")
    move = {
        401: f"put a valid token into kubeflow.token_file ({settings.token_file})",
        403: "give the token's account the rights of infra/kubeflow.yaml",
        404: f"install Kubeflow Trainer, or make the namespace {settings.namespace}",
    }
    return SettingsError(
        f"{found}; {move.get(answer.status_code, 'look at the settings of [kubeflow] and the version of Kubeflow Trainer')}"
    )
