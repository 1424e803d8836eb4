"""Typed, frozen configuration of the cluster that trains: the section `[kubeflow]`."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from components.section import Section

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts the credentials of a pod's service account."""


class Kubeflow(Section):
    """The cluster that trains a day as a TrainJob where `train.where` is `kubeflow`; the defaults are those of infra/kubeflow.yaml."""

    server: str = "https://kubernetes.default.svc"
    """The API server; `http://` on loopback only."""
    token_file: Path = _POD / "token"
    """Holds the bearer token, and is read at every request: the pod's is renewed."""
    ca_file: Path = _POD / "ca.crt"
    """Whom the server's certificate must be signed by."""
    namespace: str = Field(default="esmm", pattern="^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    runtime: str = Field(default="esmm", min_length=1, max_length=253)
    """The ClusterTrainingRuntime; one that mounts the home under its own path."""
    image: str = Field(default="esmm-pipeline:latest", min_length=1, max_length=500)
    """Holds this repository's environment; of the pipeline's components, too."""
    nodes: int = Field(default=1, ge=1)
    processes: int = Field(default=1, ge=1)
    """Ranks on each node; each has its share of the table and of the users."""
    timeout: timedelta = Field(default=timedelta(hours=12), gt=timedelta(0))
    """From the TrainJob's creation to its end, the wait for nodes included; then it is deleted."""

    @field_validator("server")
    @classmethod
    def _check(cls, server: str) -> str:
        url = urlsplit(server)
        if url.hostname and (url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)):
            return server.rstrip("/")
        raise ValueError(f"server: expected https://HOST, or http:// on loopback, found {server}; a token must not travel in clear text")
