"""A stand-in for a Kubernetes API server with Kubeflow Trainer: TrainJobs of one namespace and their pods, on loopback, behind a token.

A test says what the cluster does and when: `at_look(3, cluster.complete)` lets the job complete as it is looked at for the third time.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema

SCHEMA = json.loads((Path(__file__).parent / "trainjob_v1alpha1.json").read_text())
TOKEN = "a-token-that-nobody-may-see"  # noqa: S105 - the stand-in's alone
JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/esmm/trainjobs"
PODS = "/api/v1/namespaces/esmm/pods"
Object = dict[str, Any]


class StandIn(ThreadingHTTPServer):
    """The server; `jobs` by name, `asked` is every (method, name) that had the right token."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.jobs: dict[str, Object] = {}
        self.pods: list[Object] = []
        self.asked: list[tuple[str, str]] = []
        self.plans: dict[int, Callable[[], object]] = {}
        self.looks = self.outage = self.dying = 0
        self.pods_allowed = True

    @property
    def job(self) -> Object:
        (job,) = self.jobs.values()
        return job

    @property
    def made(self) -> int:
        return sum(method == "POST" for method, _ in self.asked)

    def at_look(self, number: int, act: Callable[[], object]) -> None:
        self.plans[number] = act

    def complete(self) -> None:
        self._end("Complete", "AllJobsCompleted", "jobset completed successfully")

    def fail(self, *last_words: str, status: int = 1, reason: str = "Error") -> None:
        """Let the job fail, with a pod for each of the last words."""
        self._end("Failed", "FailedJobs", "jobset failed due to one or more job failures")
        ends = [{"exitCode": status, "reason": reason, "message": said} for said in last_words]
        self.pods = [_pod(number, "Failed", [{"state": {"terminated": end}}]) for number, end in enumerate(ends)]

    def go_away(self, requests: int) -> None:
        """Answer none of the next requests."""
        self.outage = requests

    def speak_tls(self, certificate: Path) -> None:
        """Answer under TLS, with a certificate and its key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")

    def handle_error(self, *_: object) -> None:
        """Let a client go that does not trust the certificate."""

    def _end(self, kind: str, reason: str, message: str) -> None:
        ended = {"type": kind, "status": "True", "reason": reason, "message": message}
        resumed = {"type": "Suspended", "status": "False", "reason": "Resumed", "message": "TrainJob is resumed"}
        self.job["status"] = {"conditions": [resumed, ended]}


def _pod(number: int, phase: str, containers: list[Object]) -> Object:
    return {"metadata": {"name": f"node-0-{number}"}, "status": {"phase": phase, "containerStatuses": containers}}


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        if self._refused("POST"):
            return
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = next(jsonschema.Draft202012Validator(SCHEMA).iter_errors(job), None)
        if self.path != f"{JOBS}?fieldValidation=Strict" or found:
            self._answer(422, {"kind": "Status", "message": f"TrainJob is invalid: {found and found.message}"})
        elif (name := job["metadata"]["name"]) in self.server.jobs:
            self._answer(409, {"kind": "Status", "message": f'trainjobs "{name}" already exists'})
        else:
            job["metadata"]["creationTimestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self.server.jobs[name] = job
            self._answer(201, job)

    def do_GET(self) -> None:
        if self._refused("GET"):
            return
        url, server = urlsplit(self.path), self.server
        if url.path == PODS:
            named = parse_qs(url.query)["labelSelector"] == [f"jobset.sigs.k8s.io/jobset-name={server.job['metadata']['name']}"]
            self._answer(
                *((200, {"items": server.pods if named else []}) if server.pods_allowed else (403, {"message": "pods is forbidden"}))
            )
            return
        server.looks += 1
        server.plans.pop(server.looks, lambda: None)()
        job = server.jobs.get(name := url.path.removeprefix(f"{JOBS}/"))
        if job and "deletionTimestamp" in job["metadata"]:
            server.dying -= 1
            if server.dying < 0:
                del server.jobs[name]
        self._answer(200, job) if name in server.jobs else self._answer(404, {"message": f'trainjobs "{name}" not found'})

    def do_DELETE(self) -> None:
        if self._refused("DELETE"):
            return
        job = self.server.jobs.get(urlsplit(self.path).path.removeprefix(f"{JOBS}/"))
        if job and self.path.endswith("?propagationPolicy=Foreground"):
            job["metadata"]["deletionTimestamp"] = "2024-05-01T00:00:00Z"
            self._answer(200, job)
        else:
            self._answer(404, {"message": "not found"})

    def _refused(self, method: str) -> bool:
        """Refuse a wrong token, hang up in an outage; else note the request."""
        if self.server.outage:
            self.server.outage -= 1
            self.close_connection = True
            return True
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(401, {"kind": "Status", "message": "Unauthorized"})
            return True
        self.server.asked.append((method, urlsplit(self.path).path.rsplit("/", 1)[-1]))
        return False

    def _answer(self, status: int, body: Object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """Run a stand-in while the body runs."""
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
