"""What the HTTP lookups answer when they say no: `{"error": {"code", "reason"}}`, under the status that says whose fault it is."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from components.errors import DataError, SettingsError
from components.publish.views import NotPublishedError, UnknownEntityError, UnknownFeatureError

log = logging.getLogger(__name__)
_STATUSES: dict[type[Exception], tuple[int, str]] = {
    UnknownEntityError: (404, "unknown_entity"),
    UnknownFeatureError: (422, "unknown_feature"),
    NotPublishedError: (503, "not_published"),
}


class Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """A request that is answered with an error status."""

    def __init__(self, status: int, code: str, reason: str, *, headers: dict[str, str] | None = None) -> None:
        """Keep what to answer; `reason` is shown to the caller."""
        super().__init__(reason)
        self.status, self.code, self.reason, self.headers = status, code, reason, headers


def install(app: FastAPI) -> None:
    """Make every error of an application a JSON reply."""

    @app.exception_handler(Refusal)
    async def refuse(_: Request, error: Refusal) -> JSONResponse:
        return _reply(error.status, error.code, error.reason, error.headers)

    @app.exception_handler(HTTPException)
    async def refuse_route(request: Request, error: HTTPException) -> JSONResponse:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        reason = f"{request.method} {request.url.path[:200]}: {error.detail}; read GET /v1/features/{{entity}}/{{key}}"
        return _reply(error.status_code, code, reason, dict(error.headers or {}))

    @app.exception_handler(SettingsError)
    @app.exception_handler(DataError)
    async def refuse_lookup(_: Request, error: Exception) -> JSONResponse:
        status, code = _STATUSES.get(type(error), (503, "unavailable"))
        return _reply(status, code, str(error), None)

    @app.exception_handler(Exception)
    async def fail(_: Request, error: Exception) -> JSONResponse:
        log.error("lookup failed: %s: %s", type(error).__name__, error)
        return _reply(503, "unavailable", "the feature store cannot be read now; try again, and see the server's log", None)


def _reply(status: int, code: str, reason: str, headers: dict[str, str] | None) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "reason": reason}}, status_code=status, headers=headers)
