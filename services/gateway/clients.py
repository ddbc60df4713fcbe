"""Owns the calls to the other services: the caller's own headers go along, and whoever is away is a 503."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import orjson
import structlog

from libs.common.errors import Problem
from libs.common.trust import authorities

CONNECT_SECONDS = 2.0
ASKED_AT_ONCE = 200
STREAMS_AT_ONCE = 1000  # each lasts as long as its preview grows, minutes; they must not use up what requests need
RETRY_AFTER_SECONDS = 5  # a service that is restarted is back in that time
# What a service may need of the caller's request. Cookies, Host and forwarded addresses are no business of theirs.
_FORWARDED = ("authorization", "idempotency-key", "content-type", "traceparent", "accept-language")
_FORWARDED_PREFIXES = ("x-webhook-", "x-fal-webhook-", "webhook-")  # providers' signatures
_SECRET_HEADER = "x-internal-secret"  # noqa: S105 - the name of the header


class Peers:
    """HTTP to the services behind the edge."""

    def __init__(self, client: httpx.AsyncClient, streams: httpx.AsyncClient, internal_secret: str) -> None:
        self._client = client
        self._streams = streams
        self._secret = internal_secret

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        query: str = "",
        more: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request as it came, with `more` headers of ours, and return the answer, whatever its status.

        Raises a 503 problem when the service cannot be reached or does not answer in time. Nothing is repeated: the
        first try may have had its effect.
        """
        forwarded = {name: value for name, value in headers.items() if _is_forwarded(name)}
        forwarded |= _request_id() | dict(more or {})
        # A header of another alphabet is for the service to refuse; httpx alone would end here in an error of ours.
        as_they_came = httpx.Headers(forwarded, encoding="latin-1")
        address = httpx.URL(url, query=query.encode("ascii", "ignore")) if query else httpx.URL(url)
        try:
            return await self._client.request(method, address, headers=as_they_came, content=body)
        except httpx.HTTPError:
            raise unavailable() from None  # its text would name the host

    async def ask_inside(self, url: str) -> object:
        """Return what an internal route says; raises a 503 problem when it says nothing of use."""
        headers = {_SECRET_HEADER: self._secret} | _request_id()
        try:
            answer = await self._client.get(url, headers=headers)
        except httpx.HTTPError:
            raise unavailable() from None
        if not answer.is_success:
            raise unavailable()
        return orjson.loads(answer.content)

    @asynccontextmanager
    async def growing_preview(
        self, archiver_url: str, segment_id: UUID, attempt_no: int
    ) -> AsyncIterator[httpx.Response | None]:
        """Open the archiver's copy of a preview that is still being made; `None` when it is not shown (any more)."""
        address = f"{archiver_url}/internal/previews/{segment_id}?attempt={attempt_no}"
        request = self._streams.build_request("GET", address, headers={_SECRET_HEADER: self._secret})
        try:
            response = await self._streams.send(request, stream=True)
        except httpx.HTTPError:
            raise unavailable() from None
        try:
            if response.is_server_error:
                raise unavailable()
            yield response if response.is_success else None
        finally:
            await response.aclose()


@asynccontextmanager
async def open_peers(internal_secret: str, timeout_seconds: float) -> AsyncIterator[Peers]:
    """Open the connections; addresses come from configuration alone, never through a proxy of the environment."""
    timeout = httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS)
    short = httpx.Limits(max_connections=ASKED_AT_ONCE, max_keepalive_connections=50, keepalive_expiry=30)
    long = httpx.Limits(max_connections=STREAMS_AT_ONCE, max_keepalive_connections=0)
    async with (
        httpx.AsyncClient(timeout=timeout, limits=short, trust_env=False, verify=authorities()) as client,
        httpx.AsyncClient(timeout=timeout, limits=long, trust_env=False, verify=authorities()) as streams,
    ):
        yield Peers(client, streams, internal_secret)


def unavailable() -> Problem:
    """Return the 503 for a part behind the edge that does not answer."""
    return Problem(
        503,
        "unavailable",
        "A part of the service does not answer",
        detail="Try again in a few seconds.",
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )


def _is_forwarded(name: str) -> bool:
    return name in _FORWARDED or name.startswith(_FORWARDED_PREFIXES)


def _request_id() -> dict[str, str]:
    """Let the service behind log the same request id."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return {"x-request-id": str(request_id)} if request_id else {}
