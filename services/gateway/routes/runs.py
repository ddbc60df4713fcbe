"""Owns `/v1`: what the web app and partners use."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response

from services.gateway import handlers
from services.gateway.arc_schemas import RunArc
from services.gateway.details_schemas import SegmentDetails
from services.gateway.routes.dependencies import (
    PartsOf,
    RunInPath,
    SegmentInPath,
    SignedIn,
    WithFeature,
    operation_name,
    problem_responses,
)
from services.gateway.routes.proxy import TRACK_HEADER, pass_on, request_body
from services.gateway.schemas import Acknowledged, CreatedRun, NewRun, Offered, RunLog, RunPage, RunView, SignedUrl

router = APIRouter(tags=["runs"], generate_unique_id_function=operation_name)
_NO_STORE = "no-store"  # a run holds health data


@router.get(
    "/v1/presets",
    summary="What may be chosen: presets, styles, emotions, the scale",
    responses={200: {"model": Offered}, **problem_responses(429, 503)},
)
async def presets(request: Request, parts: PartsOf) -> Response:
    return await pass_on(request, parts.peers, f"{parts.settings.create_url}/presets")


@router.post(
    "/v1/runs",
    summary="Start a journey",
    status_code=201,
    responses={201: {"model": CreatedRun}, **problem_responses(400, 401, 403, 413, 415, 422, 429, 503)},
    openapi_extra=request_body(NewRun)
    | {
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key gives the same run for 24 h; with another body 422.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 200},
            }
        ]
    },
)
async def create_run(request: Request, parts: PartsOf, user: WithFeature) -> Response:
    track = await handlers.release_track(parts.database, user)
    return await pass_on(request, parts.peers, f"{parts.settings.create_url}/runs", more={TRACK_HEADER: track})


@router.get(
    "/v1/runs", summary="One's own journeys, newest first", responses=problem_responses(400, 401, 422, 429, 503)
)
async def list_runs(
    response: Response,
    parts: PartsOf,
    user: SignedIn,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> RunPage:
    response.headers["cache-control"] = _NO_STORE
    return await handlers.list_runs(parts.database, user, limit, cursor)


@router.get("/v1/runs/{run_id}", summary="A journey now", responses=problem_responses(400, 401, 403, 404, 429, 503))
async def read_run(response: Response, parts: PartsOf, run_id: RunInPath, user: SignedIn) -> RunView:
    response.headers["cache-control"] = _NO_STORE
    return await handlers.read_run(parts.database, run_id, user, links=parts.links)


@router.post(
    "/v1/runs/{run_id}/resume",
    summary="Try again what failed",
    responses={200: {"model": Acknowledged}, **problem_responses(400, 401, 403, 404, 409, 413, 415, 429, 503)},
)
async def resume_run(request: Request, parts: PartsOf, run_id: RunInPath, _user: WithFeature) -> Response:
    return await pass_on(request, parts.peers, f"{parts.settings.runner_url}/runs/{run_id}/resume")


@router.get("/v1/runs/{run_id}/log", summary="What happened", responses=problem_responses(400, 401, 403, 404, 429, 503))
async def read_log(response: Response, parts: PartsOf, run_id: RunInPath, user: SignedIn) -> RunLog:
    response.headers["cache-control"] = _NO_STORE
    return await handlers.read_log(parts.database, run_id, user)


@router.get(
    "/v1/runs/{run_id}/arc",
    summary="Planned and played: tempo, brightness, loudness every 15 s",
    responses=problem_responses(400, 401, 403, 404, 429, 503),
)
async def read_arc(response: Response, parts: PartsOf, run_id: RunInPath, user: SignedIn) -> RunArc:
    response.headers["cache-control"] = _NO_STORE
    return await handlers.read_arc(parts.database, run_id, user)


@router.get(
    "/v1/segments/{segment_id}",
    summary="What is known of a segment's file: its waveform, its parts, its checks",
    responses=problem_responses(400, 401, 403, 404, 429, 503),
)
async def read_segment(response: Response, parts: PartsOf, segment_id: SegmentInPath, user: SignedIn) -> SegmentDetails:
    response.headers["cache-control"] = _NO_STORE
    return await handlers.read_segment(parts.database, segment_id, user)


@router.post(
    "/v1/segments/{segment_id}/sign",
    summary="An address of a finished file, good for an hour",
    tags=["media"],
    responses={200: {"model": SignedUrl}, **problem_responses(400, 401, 403, 404, 409, 413, 415, 429, 503)},
)
async def sign_segment(request: Request, parts: PartsOf, segment_id: SegmentInPath, _user: SignedIn) -> Response:
    body = orjson.dumps({"segmentId": str(segment_id)})
    return await pass_on(request, parts.peers, f"{parts.settings.signer_url}/sign-track", body=body)
