"""One pool for all outbound calls: bounded bodies, no redirects, an ordinary user agent, times given from outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
import orjson

from libs.common import fault_points
from libs.common.trust import authorities
from services.generator.clients.dialect import Call, Reply

BODY_LIMIT: Final = 1024 * 1024  # bytes; record-info of two songs with lyrics is some 20 kB, a JWKS 1 kB
# A bot-like agent is refused by one reseller's front (providers.md §1B).
USER_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"


@asynccontextmanager
async def open_http() -> AsyncIterator[httpx.AsyncClient]:
    """One pool of connections; none is kept: the end of an idle one would look like a lost reply, which costs money."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
    async with httpx.AsyncClient(
        limits=limits, trust_env=False, verify=authorities(), follow_redirects=False, headers={"user-agent": USER_AGENT}
    ) as client:
        yield client


async def send(http: httpx.AsyncClient, call: Call, *, timeout: float, connect: float) -> Reply:  # noqa: ASYNC109 - httpx's
    """Send it and read the reply; raises httpx's errors. The caller bounds the whole; these bound its parts."""
    extensions = {"trace": _trace} if call.method == "POST" else {}
    request = http.build_request(
        call.method, call.url, headers=dict(call.headers), content=call.content, extensions=extensions
    )
    request.extensions["timeout"] = httpx.Timeout(timeout, connect=connect).as_dict()
    response = await http.send(request, stream=True)
    try:
        return Reply(response.status_code, response.headers, _decoded(await _bounded(response)))
    finally:
        await response.aclose()


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > BODY_LIMIT:
            return b""
    return bytes(body)


def _decoded(body: bytes) -> object:
    try:
        answer: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer


async def _trace(event: str, _facts: object) -> None:
    """The moment between our last byte of a submission and the provider's first."""
    if event.endswith("send_request_body.complete"):
        fault_points.reach("after_send")
