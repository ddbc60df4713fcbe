"""`POST /sign-track`."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from libs.common import metrics
from libs.common.database import Database
from libs.common.errors import Problem
from libs.common.identity import Verifier
from libs.common.metrics import Metric
from services.signer.handlers import Links, Signed, sign

PATH: Final = "/sign-track"
NO_STORE: Final = {"cache-control": "no-store"}

_UUID_CHARS: Final = 36


@dataclass
class Desk:
    """What the route hands to the handler; the lifespan fills in database and links."""

    verifier: Verifier
    database: Database | None = None
    links: Links | None = None


def router(desk: Desk) -> APIRouter:
    routes = APIRouter()
    metrics.start(Metric.SIGN_REQUESTS, route=[PATH], method=["POST"], code=["200", "400", "401", "403", "404", "409"])

    @routes.post(PATH)
    async def sign_track(request: Request) -> Response:
        try:
            signed = await _sign(desk, await request.body(), request.headers.get("authorization"))
        except Problem as problem:
            _count(problem.status)
            raise
        _count(200)
        answer = {"url": signed.url, "expiresAt": signed.expires_at.isoformat().replace("+00:00", "Z")}
        return Response(orjson.dumps(answer), media_type="application/json", headers=NO_STORE)

    return routes


async def _sign(desk: Desk, raw: bytes, authorization: str | None) -> Signed:
    if desk.database is None or desk.links is None:
        raise Problem(503, "unavailable")
    segment_id = _segment_id(raw)
    user = await desk.verifier.identify(authorization)
    return await sign(desk.database, desk.links, segment_id=segment_id, user_id=user.user_id)


def _segment_id(raw: bytes) -> UUID:
    try:
        named = orjson.loads(raw)["segmentId"]
        segment_id = UUID(named) if len(named) == _UUID_CHARS else None
    except (ValueError, TypeError, KeyError, AttributeError):
        segment_id = None
    if segment_id is None:
        raise Problem(400, "malformed_id", "The body is not {segmentId} with a UUID")
    return segment_id


def _count(status: int) -> None:
    metrics.count(Metric.SIGN_REQUESTS, route=PATH, method="POST", code=str(status))
