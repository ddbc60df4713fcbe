"""Owns which pages of other origins may call: preflights are answered here, without a user and without a route."""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import problems
from libs.common.errors import Problem

METHODS = "GET, POST, PUT, DELETE, OPTIONS"
# The first four are what the earlier clients send.
REQUEST_HEADERS = "authorization, apikey, x-client-info, content-type, idempotency-key, last-event-id, range"
EXPOSED_HEADERS = "content-range, etag, retry-after"
PREFLIGHT_SECONDS = 600  # browsers keep at least this long what they were told


class Cors:
    """Adds the headers that let the listed origins read our answers; there are no cookies, so no credentials.

    Outermost: refusals of any layer carry the headers too, else a page could not read why it was refused.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        if "*" in origins:
            raise ValueError("CORS_ORIGINS: expected a list of origins, found *")
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        allowed = self._allowed(headers.get("origin"))
        if scope["method"] == "OPTIONS":
            await _preflight(headers, allowed)(scope, receive, _with_headers(send, allowed))
            return
        await self._app(scope, receive, _with_headers(send, allowed))

    def _allowed(self, origin: str | None) -> str | None:
        return origin if origin is not None and origin.lower() in self._origins else None


def _preflight(headers: Headers, allowed: str | None) -> Response:
    if "origin" not in headers or "access-control-request-method" not in headers:
        return Response(status_code=204, headers={"allow": METHODS})
    if allowed is None:
        return problems.response(Problem(403, "origin_not_allowed", "This origin may not call"))
    return Response(
        status_code=204,
        headers={
            "access-control-allow-methods": METHODS,
            "access-control-allow-headers": REQUEST_HEADERS,
            "access-control-max-age": str(PREFLIGHT_SECONDS),
        },
    )


def _with_headers(send: Send, allowed: str | None) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.add_vary_header("Origin")
            if allowed is not None:
                headers["access-control-allow-origin"] = allowed
                headers["access-control-expose-headers"] = EXPOSED_HEADERS
        await send(message)

    return add
