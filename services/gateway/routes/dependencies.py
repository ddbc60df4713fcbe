"""Owns what routes are handed: the parts of the process, the user behind a request, well-formed ids."""

import re
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Depends, Path, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from libs.common.database import Database
from libs.common.errors import Problem
from libs.common.identity import Identity, Verifier
from libs.common.objects import ObjectStore
from libs.common.signing import MediaSigner
from services.gateway import handlers
from services.gateway.clients import Peers
from services.gateway.domain.rates import Rate
from services.gateway.edge.limits import too_many
from services.gateway.handlers import Visitors
from services.gateway.links import MediaLinks
from services.gateway.progress import ProgressFeed
from services.gateway.settings import Settings

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A user's token; never an anon or service key.")


@dataclass(frozen=True)
class Parts:
    """What the composition root opened."""

    settings: Settings
    database: Database
    verifier: Verifier
    visitors: Visitors
    user_rate: Rate
    peers: Peers
    objects: ObjectStore
    signer: MediaSigner
    links: MediaLinks
    feed: ProgressFeed


def parts_of(request: Request) -> Parts:
    found = request.app.state.parts
    if not isinstance(found, Parts):
        raise TypeError("app.state.parts: expected Parts; the lifespan opens them")
    return found


PartsOf = Annotated[Parts, Depends(parts_of)]


async def _signed_in(
    request: Request,
    parts: PartsOf,
    _documented: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> Identity:
    """Return the user, counted against their limit and noted as seen."""
    identity = await parts.verifier.identify(request.headers.get("authorization"))
    seconds = parts.user_rate.take(identity.user_id)
    if seconds:
        raise too_many(seconds, "user")
    await parts.visitors.note(identity)
    return identity


SignedIn = Annotated[Identity, Depends(_signed_in)]


async def _maybe_signed_in(request: Request, parts: PartsOf) -> Identity | None:
    """Return the user of an earlier path, which answers without one too; a bad token is refused all the same."""
    identity = await parts.verifier.identify_or_none(request.headers.get("authorization"))
    seconds = parts.user_rate.take(identity.user_id) if identity else 0
    if seconds:
        raise too_many(seconds, "user")
    return identity


MaybeSignedIn = Annotated[Identity | None, Depends(_maybe_signed_in)]


async def _with_feature(parts: PartsOf, identity: SignedIn) -> Identity:
    await handlers.require_feature(parts.database, identity)
    return identity


WithFeature = Annotated[Identity, Depends(_with_feature)]


_Id = Annotated[str, Path(description="a UUID", json_schema_extra={"format": "uuid"})]


def _run_id(run_id: _Id) -> UUID:
    return _well_formed(run_id)


def _segment_id(segment_id: _Id) -> UUID:
    return _well_formed(segment_id)


def _well_formed(text: object) -> UUID:
    """Return the id; asked for before the user, since a malformed id is 400 for everybody."""
    if not isinstance(text, str) or not _UUID.fullmatch(text):
        raise Problem(400, "malformed_id", "An id is malformed", detail="Ids are UUIDs with their four hyphens.")
    return UUID(text)


RunInPath = Annotated[UUID, Depends(_run_id)]
SegmentInPath = Annotated[UUID, Depends(_segment_id)]


async def _segment_in_body(request: Request) -> UUID:
    """Return the id of a body `{segmentId}`."""
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise Problem(400, "malformed_json", "The body is not valid JSON") from None
    return _well_formed(body.get("segmentId") if isinstance(body, dict) else None)


SegmentInBody = Annotated[UUID, Depends(_segment_in_body)]


def operation_name(route: APIRoute) -> str:
    """Name an operation in the OpenAPI document after its function."""
    return route.name


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI of these problems."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in statuses}


_MEANINGS = {
    400: "Malformed id, cursor or body",
    401: "No user: no token, a bad one, or an anon or service key",
    403: "Another's, or not open to this user (`feature_disabled`)",
    404: "Unknown",
    409: "Not in a state that allows it",
    413: "More than 64 KiB",
    415: "Encoded bodies are not read",
    416: "The range lies outside the file",
    422: "Understood and refused",
    429: "Too many; `Retry-After` says when to come back",
    503: "A part of the service is away; `Retry-After` says when to come back",
}
