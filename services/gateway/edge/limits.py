"""Owns the limit per address: every request counts, but a webhook or a file only when it is refused."""

import math
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import problems
from libs.common.errors import Problem
from libs.common.http import PROBES
from services.gateway.domain.addresses import Network, client_address
from services.gateway.domain.rates import Rate

# A provider sends every webhook from a few addresses, and a player asks for many ranges: with a valid token they are
# never counted, without one they are guesses.
_COUNTED_WHEN_REFUSED = ("/callback", "/functions/v1/parcours-xl-callback", "/media/")
_UNCOUNTED = PROBES | {"/api/v1/health"}
_REFUSALS = frozenset({400, 401, 403, 404, 405, 413, 415})


def too_many(seconds: float, whose: str) -> Problem:
    """Return the 429 that says when to come back."""
    headers = {"retry-after": str(max(1, math.ceil(seconds)))}
    return Problem(429, "too_many_requests", "Too many requests", detail=f"The limit per {whose}.", headers=headers)


class AddressLimit:
    """Answers 429 to an address that asks too often."""

    def __init__(self, app: ASGIApp, rate: Rate, trusted: Sequence[Network]) -> None:
        self._app = app
        self._rate = rate
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _UNCOUNTED:
            await self._app(scope, receive, send)
            return
        address = self._address(scope)
        if scope["path"].startswith(_COUNTED_WHEN_REFUSED):
            await self._app(scope, receive, _Refusals(scope, receive, send, self._rate, address).send)
            return
        seconds = self._rate.take(address)
        if seconds:
            await problems.response(too_many(seconds, "address"))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _address(self, scope: Scope) -> str:
        client = scope.get("client")
        # All headers of the name are one list, in the order they stand in.
        forwarded_for = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
        return client_address(client[0] if client else None, forwarded_for, self._trusted)


class _Refusals:
    """Lets any answer pass but a refusal beyond the limit, which becomes 429."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, rate: Rate, address: str) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._rate = rate
        self._address = address
        self._replaced = False

    async def send(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start" and message["status"] in _REFUSALS:
            seconds = self._rate.take(self._address)
            if seconds:
                self._replaced = True
                await problems.response(too_many(seconds, "address"))(self._scope, self._receive, self._send)
                return
        await self._send(message)
