"""Feature lookups over HTTP: read-only, behind a bearer token, on loopback by default. `python -m components.publish.server`."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool

from components.publish import replies
from components.publish.lookup import Lookup
from components.publish.replies import Refusal
from components.publish.token import read_token
from components.settings import Settings, load_settings

MAX_BODY_BYTES = 1 << 20


class Question(BaseModel):
    """The body of a lookup of many keys."""

    model_config = ConfigDict(extra="forbid", strict=True)

    keys: list[str]
    features: list[str] | None = None


def create_app(settings: Settings) -> FastAPI:
    """Return the application; its routes need the token of these settings, except /health."""
    app = FastAPI(title="ESMM features", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    replies.install(app)
    reader = Lookup(settings)
    app.include_router(_features(reader, settings.services.max_lookup_keys), dependencies=[Depends(_authorise(read_token(settings.root)))])

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "day": reader.day and str(reader.day)}

    return app


def _features(reader: Lookup, max_keys: int) -> APIRouter:
    router = APIRouter(prefix="/v1/features", redirect_slashes=False)

    @router.get("/{entity}/{key:path}")
    async def one(entity: str, key: str) -> dict[str, Any]:
        (answer,) = await run_in_threadpool(reader.answer, entity, [key])
        if not answer["found"]:
            raise Refusal(404, "unknown_key", f"{entity} {key[:80]!r}: no features are published under this key")
        return answer

    @router.post("/{entity}")
    async def many(entity: str, request: Request) -> dict[str, Any]:
        question = await _read_question(request)
        if len(question.keys) > max_keys:
            raise Refusal(413, "too_many_keys", f"expected at most {max_keys} keys, found {len(question.keys)}; ask in several requests")
        return {"answers": await run_in_threadpool(reader.answer, entity, question.keys, features=question.features)}

    return router


def _authorise(token: str) -> Callable[[Request], Awaitable[None]]:
    async def check(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            reason = "expected the header `Authorization: Bearer <token>`; the token is in <home>/secrets/lookup_token"
            raise Refusal(401, "token_missing", reason, headers={"WWW-Authenticate": "Bearer"})
        if not hmac.compare_digest(given.strip().encode(), token.encode()):
            raise Refusal(403, "token_wrong", "the token is not the one of this server")

    return check


async def _read_question(request: Request) -> Question:
    """Read a body of at most MAX_BODY_BYTES, counted as it arrives, whatever its Content-Length says."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "not_json", f"expected Content-Type: application/json, found {kind[:80] or 'none'}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Refusal(413, "body_too_large", f"expected at most {MAX_BODY_BYTES} bytes; ask in several requests")
    try:
        return Question.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        reason = f'{place}: {first["msg"]}; expected {{"keys": ["..."], "features": ["..."]}}, features being optional'
        raise Refusal(422, "malformed_body", reason) from None


def main() -> None:
    """Serve until stopped. No access log: its lines would hold users' keys."""
    import feast  # noqa: F401 - takes seconds: here, and not in the first lookup

    settings = load_settings()
    uvicorn.run(
        create_app(settings), host=settings.services.host, port=settings.services.lookup_port, access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
