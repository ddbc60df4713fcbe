"""Owns what every HTTP service has: health, metrics, problem documents, request ids and a bound on bodies."""

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import logs, metrics, problems
from libs.common.errors import Problem
from libs.common.health import Check, Health, Pulse, Readiness
from libs.common.log_events import LogEvent
from libs.common.metrics import Metric
from libs.common.settings import ServiceSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

BODY_LIMIT = 64 * 1024  # bytes; performance-and-reliability.md §6
BODY_TIMEOUT_S = 5.0  # s to read a body; performance-and-reliability.md §6
PROBES = frozenset({"/livez", "/readyz", "/health", "/metrics"})

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_log = logs.get_logger()


def create_app(
    *,
    service: str,
    settings: ServiceSettings,
    lifespan: Lifespan,
    checks: Mapping[str, Check],
    body_limit: int = BODY_LIMIT,
) -> FastAPI:
    """Build a service's application.

    `app.state` holds `readiness` (wait on its `draining`; `waiting_for` keeps `/readyz` at 503) and `pulse` (loops beat
    it). `checks` are asked by `/health`; a mapping filled later by the lifespan is read at each request.
    """
    metrics.configure(service, settings.version, settings.track)
    readiness, pulse = Readiness(), Pulse()

    @asynccontextmanager
    async def started(app: FastAPI) -> "AsyncIterator[None]":
        try:
            async with lifespan(app):
                readiness.started = True
                try:
                    yield
                finally:
                    readiness.draining.set()
        except Exception as error:
            event = LogEvent.STOP_FAILED if readiness.started else LogEvent.START_FAILED
            _log.error(event, error=logs.describe_error(error))
            raise

    app = FastAPI(
        title=service,
        version=settings.version,
        lifespan=started,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # an address with a slash too many is unknown; a redirect would repeat its query
    )
    app.state.readiness, app.state.pulse = readiness, pulse
    problems.install(app)
    _add_probes(app, Health(version=settings.version, track=settings.track, checks=checks))
    app.add_middleware(BodyLimit, limit=body_limit)
    app.add_middleware(RequestContext)  # added last, so it is outermost: refused bodies get an id and are counted too
    return app


def _add_probes(app: FastAPI, health: Health) -> None:
    readiness: Readiness = app.state.readiness
    pulse: Pulse = app.state.pulse

    @app.get("/livez", include_in_schema=False)
    async def livez() -> JSONResponse:
        stalled = pulse.stalled()
        return JSONResponse({"status": "stalled" if stalled else "ok", "stalled": stalled}, 503 if stalled else 200)

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        word = "draining" if readiness.draining.is_set() else "ready" if readiness.ready else "starting"
        return JSONResponse({"status": word}, 200 if readiness.ready else 503)

    @app.get("/health", include_in_schema=False)
    async def report() -> JSONResponse:
        return JSONResponse(await health.report(), headers={"cache-control": "no-store"})

    @app.get("/metrics", include_in_schema=False)
    async def page(request: Request) -> Response:
        text, content_type = metrics.render(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})


class RequestContext:
    """Outermost: gives each request an id, counts it, and turns an unhandled error into a 500 that shows nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _bind_log_context(Headers(scope=scope))
        began = time.perf_counter()
        answer = _Answer(send, request_id)
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001 - nothing may reach uvicorn, which would print the trace with its values
            described = logs.describe_error(error)
            _log.error(LogEvent.UNHANDLED_ERROR, method=scope["method"], route=_route(scope), error=described)
            if answer.status is None:
                await problems.response(problems.from_status(500))(scope, receive, answer.send)
        finally:
            _count(scope, answer.status or 499, time.perf_counter() - began)


class _Answer:
    """Adds the request id to the answer and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            MutableHeaders(scope=message)["x-request-id"] = self._request_id
        await self._send(message)


class BodyLimit:
    """Reads a request's body before the application sees the request, so that its bounds hold for every route.

    Refuses with 415 an encoded body (a small one may unpack to gigabytes), with 413 one beyond the limit, with 408 one
    that takes longer than 5 s to arrive.
    """

    def __init__(self, app: ASGIApp, limit: int = BODY_LIMIT) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if "content-length" not in headers and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)  # no body
            return
        try:
            _refuse_by_headers(headers, self._limit)
            body = await self._read(receive)
        except Problem as problem:
            await problems.response(problem)(scope, receive, send)
            return
        if body is not None:  # else the caller went away
            await self._app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > self._limit:
                        raise _too_large(self._limit)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError as error:
            raise Problem(408, "request_timeout", detail=f"The body took longer than {BODY_TIMEOUT_S:g} s.") from error


def _refuse_by_headers(headers: Headers, limit: int) -> None:
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "unsupported_encoding", detail="Send the body without Content-Encoding.")
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> Problem:
    return Problem(413, "too_large", detail=f"A body has at most {limit} bytes.", members={"limit": limit})


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand the body over once, then whatever comes after it (the disconnect)."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message


def _bind_log_context(headers: Headers) -> str:
    """Start this request's log context; a caller's own id is kept when it is harmless."""
    offered = headers.get("x-request-id", "")
    request_id = offered if _REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    if traced := _TRACEPARENT.fullmatch(headers.get("traceparent", "")):
        structlog.contextvars.bind_contextvars(trace_id=traced[1])
    return request_id


def _count(scope: Scope, status: int, seconds: float) -> None:
    route = _route(scope)
    if route in PROBES:  # a probe a second would drown the users' figures
        return
    method = scope["method"] if scope["method"] in _METHODS else "other"
    metrics.count(Metric.HTTP_REQUESTS, route=route, method=method, code=str(status))
    metrics.observe(Metric.HTTP_REQUEST_SECONDS, seconds, route=route, method=method, code=str(status))


def _route(scope: Scope) -> str:
    """Return the route's template, never the path: ids are no labels."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
