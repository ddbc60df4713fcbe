"""Owns how a request goes to a service behind the edge and how its answer comes back: unchanged."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request, Response
from pydantic import BaseModel

from services.gateway.clients import Peers

TRACK_HEADER: Final = "x-track"  # the release track of a new run, which the edge decides and create stores
# What describes the answer itself; everything about the connection behind stays there.
_RETURNED = ("content-type", "retry-after", "cache-control", "location", "www-authenticate", "allow", "etag")


async def pass_on(
    request: Request,
    peers: Peers,
    url: str,
    *,
    body: bytes | None = None,
    query: str = "",
    more: Mapping[str, str] | None = None,
) -> Response:
    """Send the request on; `body` replaces its own, and is JSON then; `more` are headers of our own."""
    headers = dict(request.headers)
    if body is not None:
        headers["content-type"] = "application/json"
    content = await request.body() if body is None else body
    answer = await peers.ask(request.method, url, headers=headers, body=content, query=query, more=more)
    returned = {name: answer.headers[name] for name in _RETURNED if name in answer.headers}
    return Response(answer.content, answer.status_code, returned)


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI of a body that the service behind reads."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
