"""The callback's two doors: a small raw ASGI route for providers, an internal one for the generator."""

import hmac
import time
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import parse_qs
from uuid import UUID

import asyncpg
import orjson
from fastapi import APIRouter, FastAPI, Header, Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import metrics, problems
from libs.common.database import UNAVAILABLE, Database
from libs.common.errors import Problem
from libs.common.metrics import Metric
from libs.common.outbox import adopt_traceparent
from services.callback.handlers import Rules, hear_finding, hear_webhook

PATH: Final = "/callback"
RETRY_AFTER: Final = {"retry-after": "5"}  # s; providers that read it come back before their own minute
AWAY: Final = (
    *UNAVAILABLE,
    asyncpg.OperatorInterventionError,  # starting up, shutting down
    asyncpg.InsufficientResourcesError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # accepts no connections; a lock was not to be had
    asyncpg.TransactionRollbackError,
)
VERDICTS: Final = ("accepted", "skipped", "unauthorised", "malformed", "too_large", "unavailable")

_UUID_CHARS: Final = 36  # the canonical spelling alone; `uuid.UUID` would take braces and urn: too
_FRESH: Final = orjson.dumps({"ok": True})
_SKIPPED: Final = orjson.dumps({"ok": True, "skipped": True})
_BY_STATUS: Final = {401: "unauthorised", 413: "too_large", 503: "unavailable"}
_OK: Final = 200
_SERVER_ERROR: Final = 500


@dataclass
class Ears:
    """What the routes hand to the handlers; the lifespan fills in the database."""

    rules: Rules
    secret: bytes
    database: Database | None = None


class Webhook:
    """`POST /callback?segment&token`: parse, compare, write, answer. Its body was bounded by `http.BodyLimit`."""

    path = PATH  # what the shared metrics call this route

    def __init__(self, ears: Ears) -> None:
        self._ears = ears

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        adopt_traceparent(Headers(scope=scope).get("traceparent"))
        try:
            fresh = await self._hear(scope, await _read(receive))
        except Problem as problem:
            await problems.response(problem)(scope, receive, send)
            return
        scope["callback.skipped"] = not fresh
        await _answer(fresh=fresh)(scope, receive, send)

    async def _hear(self, scope: Scope, raw: bytes) -> bool:
        asked = parse_qs(scope["query_string"].decode("ascii", "replace"), max_num_fields=8)
        segment_id, token = _only_uuid(asked, "segment"), _only_uuid(asked, "token")
        database = _opened(self._ears)
        try:
            return await hear_webhook(database, self._ears.rules, segment_id=segment_id, token=token, raw=raw)
        except AWAY as error:
            raise _unavailable() from error


class Meter:
    """Outermost: times the answers of `/callback` by verdict, those of the shared middlewares too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                verdict = _verdict(int(message["status"]), skipped=scope.get("callback.skipped", False))
                metrics.count(Metric.CALLBACK_REQUESTS, verdict=verdict)
                metrics.observe(Metric.CALLBACK_SECONDS, time.perf_counter() - began, verdict=verdict)
            await send(message)

        await self._app(scope, receive, measured)


def install(app: FastAPI, ears: Ears) -> None:
    """Give the application both doors."""
    app.router.routes.append(Route(PATH, Webhook(ears), methods=["POST"]))
    app.include_router(_internal(ears))
    app.add_middleware(Meter)
    metrics.start(Metric.CALLBACK_REQUESTS, verdict=VERDICTS)
    metrics.start(Metric.CALLBACK_SECONDS, verdict=VERDICTS)


def _internal(ears: Ears) -> APIRouter:
    router = APIRouter()

    @router.post("/internal/attempts/{attempt_id}/news")
    async def news(attempt_id: UUID, request: Request, x_internal_secret: Annotated[str, Header()] = "") -> Response:
        if not ears.secret or not hmac.compare_digest(x_internal_secret.encode(), ears.secret):
            raise Problem(401, "unauthenticated", "The service secret is needed")
        adopt_traceparent(request.headers.get("traceparent"))
        database = _opened(ears)
        try:
            fresh = await hear_finding(database, ears.rules, attempt_id=attempt_id, raw=await request.body())
        except AWAY as error:
            raise _unavailable() from error
        return _answer(fresh=fresh)

    return router


def _opened(ears: Ears) -> Database:
    if ears.database is None:
        raise _unavailable()
    return ears.database


def _only_uuid(asked: dict[str, list[str]], name: str) -> UUID | None:
    """The one value of a parameter, if it is a UUID; anything else belongs to nobody."""
    values = asked.get(name, [])
    if len(values) != 1 or len(values[0]) != _UUID_CHARS:
        return None
    try:
        return UUID(values[0])
    except ValueError:
        return None


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _answer(*, fresh: bool) -> Response:
    return Response(_FRESH if fresh else _SKIPPED, media_type="application/json")


def _verdict(status: int, *, skipped: bool) -> str:
    if status == _OK:
        return "skipped" if skipped else "accepted"
    return _BY_STATUS.get(status, "unavailable" if status >= _SERVER_ERROR else "malformed")


def _unavailable() -> Problem:
    return Problem(503, "unavailable", headers=RETRY_AFTER)
