"""The runner's HTTP: resume, the earlier paths, and a user's own log."""

from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Request

from libs.common import problems
from libs.common.database import Database
from libs.common.errors import Problem
from libs.common.identity import Verifier
from libs.common.outbox import adopt_traceparent
from libs.common.run_bounds import Bounds
from services.runner.domain.due import Pace
from services.runner.handlers.resume import go_on, go_on_with, resume
from services.runner.storage import history

_UUID_CHARS: Final = 36
_Authorization = Annotated[str | None, Header()]


@dataclass
class Counter:
    """What the routes hand to the handlers; the lifespan fills in the database."""

    verifier: Verifier
    pace: Pace
    bounds: Bounds
    database: Database | None = None

    @property
    def open(self) -> Database:
        if self.database is None:
            raise problems.from_status(503)
        return self.database


def router(counter: Counter) -> APIRouter:
    routes = APIRouter()

    @routes.post("/runs/{run_id}/resume")
    async def resume_run(run_id: UUID, request: Request, authorization: _Authorization = None) -> dict[str, Any]:
        user = await counter.verifier.identify(authorization)
        adopt_traceparent(request.headers.get("traceparent"))
        status = await resume(counter.open, counter.pace, counter.bounds, run_id=run_id, user_id=user.user_id)
        return {"ok": True, "status": status}

    @routes.post("/runner")
    async def continue_run(request: Request, authorization: _Authorization = None) -> dict[str, bool]:
        run_id = _named(await request.body(), "runId")
        user = await counter.verifier.identify_or_none(authorization)
        adopt_traceparent(request.headers.get("traceparent"))
        await go_on(counter.open, counter.pace, run_id=run_id, user_id=user.user_id if user else None)
        return {"ok": True}

    @routes.post("/generate")
    async def generate(request: Request, authorization: _Authorization = None) -> dict[str, bool]:
        segment_id = _named(await request.body(), "segmentId")
        user = await counter.verifier.identify_or_none(authorization)
        adopt_traceparent(request.headers.get("traceparent"))
        await go_on_with(counter.open, counter.pace, segment_id=segment_id, user_id=user.user_id if user else None)
        return {"ok": True}

    @routes.get("/runner/logs")
    async def logs(authorization: _Authorization = None) -> dict[str, Any]:
        user = await counter.verifier.identify(authorization)
        async with counter.open.connection() as connection:
            return {"logs": await history.entries(connection, user.user_id)}

    return routes


def _named(raw: bytes, name: str) -> UUID:
    """The one id a body names."""
    try:
        value = orjson.loads(raw)[name]
        found = UUID(value) if len(value) == _UUID_CHARS else None
    except (ValueError, TypeError, KeyError, AttributeError):
        found = None
    if found is None:
        raise Problem(400, "malformed_id", f"The body is not {{{name}}} with a UUID")
    return found
