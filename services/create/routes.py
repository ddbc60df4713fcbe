"""Create's HTTP: `POST /runs` for a user, `GET /presets` for everybody."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import orjson
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from libs.common import problems
from libs.common.database import Database
from libs.common.errors import Problem
from libs.common.identity import Verifier
from libs.common.outbox import adopt_traceparent
from services.create.domain.answers import offered
from services.create.domain.errors import RefusedInputError
from services.create.domain.run_request import RunRequest, read_run_request
from services.create.handlers.starting import Rules, start_run

LONGEST_KEY: Final = 200  # characters; the table's own bound
_PRESETS_AGE: Final = "public, max-age=300"  # s; presets change with a release


@dataclass
class Desk:
    """What the routes hand to the handlers; the lifespan fills in the database."""

    verifier: Verifier
    rules: Rules
    database: Database | None = None

    @property
    def open(self) -> Database:
        if self.database is None:
            raise problems.from_status(503)
        return self.database


def router(desk: Desk) -> APIRouter:
    routes = APIRouter()
    presets = orjson.dumps(offered())

    @routes.get("/presets")
    async def list_presets() -> Response:
        return Response(presets, media_type="application/json", headers={"cache-control": _PRESETS_AGE})

    @routes.post("/runs")
    async def create_run(
        request: Request,
        authorization: Annotated[str | None, Header()] = None,
        idempotency_key: Annotated[str | None, Header()] = None,
        x_track: Annotated[str | None, Header()] = None,
    ) -> Response:
        user = await desk.verifier.identify(authorization)
        wanted = _read(await request.body())
        adopt_traceparent(request.headers.get("traceparent"))
        answer = await start_run(
            desk.open,
            desk.rules,
            request=wanted,
            user=user,
            track=_track(x_track),
            idempotency_key=_key(idempotency_key),
        )
        headers = {"cache-control": "no-store", "location": f"/v1/runs/{answer['runId']}"}
        return Response(orjson.dumps(answer), 201, headers, "application/json")

    return routes


def _read(raw: bytes) -> RunRequest:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Problem(400, "malformed_json", "The body is not valid JSON") from None
    try:
        return read_run_request(body)
    except RefusedInputError as refused:
        members = dict(refused.members)
        raise Problem(422, refused.code, "A field was refused", detail=refused.detail, members=members) from None


def _key(header: str | None) -> str | None:
    if header is not None and not (1 <= len(header) <= LONGEST_KEY and header.isprintable()):
        detail = f"Idempotency-Key has 1 to {LONGEST_KEY} printable characters."
        members = {"field": "Idempotency-Key"}
        raise Problem(422, "idempotency_key_invalid", "A header was refused", detail=detail, members=members)
    return header


def _track(header: str | None) -> Literal["stable", "canary"]:
    """The release track that the gateway chose; nobody else reaches this service."""
    return "canary" if header == "canary" else "stable"
