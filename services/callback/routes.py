"""The callback's two doors: a small raw ASGI route for providers, an internal one for the generator."""

import hmac
import time
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import parse_qs
from uuid import UUID

import orjson
from fastapi import APIRouter, FastAPI, Header, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import metrics, problems
from libs.common.errors import Problem
from libs.common.metrics import Metric
from libs.common.outbox import adopt_traceparent
from services.callback.handlers.hearing import Hearing

PATH: Final = "/callback"
VERDICTS: Final = ("accepted", "skipped", "unauthorised", "malformed", "too_large", "unavailable")

FIELDS_LIMIT: Final = 8  # two are ours; a proxy may add some
_UUID_CHARS: Final = 36  # the canonical spelling alone; `uuid.UUID` would take braces and urn: too
_FRESH: Final = orjson.dumps({"ok": True})
_SKIPPED: Final = orjson.dumps({"ok": True, "skipped": True})
_BY_STATUS: Final = {401: "unauthorised", 413: "too_large", 503: "unavailable"}
_OK: Final = 200
_SERVER_ERROR: Final = 500


@dataclass
class Ears:
    """Whom the routes hand what they hear; the lifespan fills it in."""

    secret: bytes
    hearing: Hearing | None = None


class Webhook:
    """`POST /callback?segment&token`: parse, compare, write, answer.

    The shared middlewares have bounded its body and answer for what it raises.
    """

    path = PATH  # what the shared metrics call this route

    def __init__(self, ears: Ears) -> None:
        self._ears = ears

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        headers = dict(scope["headers"])
        adopt_traceparent(headers.get(b"traceparent", b"").decode("latin-1"))
        asked = _asked(scope["query_string"])
        fresh = await _opened(self._ears).webhook(
            segment_id=_only_uuid(asked, "segment"),
            token=_only_uuid(asked, "token"),
            raw=await _read(receive),
            headers=headers,
        )
        scope["callback.skipped"] = not fresh
        await _answer(fresh=fresh)(scope, receive, send)


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
    app.router.routes.insert(0, Route(PATH, Webhook(ears), methods=["POST"]))  # the first that is tried
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
        fresh = await _opened(ears).finding(attempt_id=attempt_id, raw=await request.body())
        return _answer(fresh=fresh)

    return router


def _opened(ears: Ears) -> Hearing:
    if ears.hearing is None:
        raise problems.from_status(503)
    return ears.hearing


def _asked(query: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(query.decode("ascii", "replace"), max_num_fields=FIELDS_LIMIT)
    except ValueError:  # more fields than anybody of ours sends
        return {}


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
