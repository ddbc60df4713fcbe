"""Owns the earlier deployment's paths, whose clients and webhooks come unchanged (architecture.md §8)."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.gateway import handlers
from services.gateway.domain.earlier import modern_body
from services.gateway.routes.dependencies import (
    MaybeSignedIn,
    PartsOf,
    SegmentInBody,
    SignedIn,
    WithFeature,
    operation_name,
    problem_responses,
)
from services.gateway.routes.proxy import TRACK_HEADER, pass_on, request_body
from services.gateway.schemas import Acknowledged, CreatedRun, EarlierRun, RunId, SegmentId, SignedUrl

router = APIRouter(tags=["earlier paths"], generate_unique_id_function=operation_name)
_FUNCTIONS = "/functions/v1"
_OK: dict[int | str, dict[str, Any]] = {200: {"model": Acknowledged}}


@router.post(
    f"{_FUNCTIONS}/parcours-xl-create",
    summary="As POST /v1/runs, with the earlier status 200",
    responses={200: {"model": CreatedRun}, **problem_responses(400, 401, 403, 413, 415, 422, 429, 503)},
    openapi_extra=request_body(EarlierRun),
)
async def create(request: Request, parts: PartsOf, user: WithFeature) -> Response:
    body = modern_body(await request.body())
    track = await handlers.release_track(parts.database, user)
    url = f"{parts.settings.create_url}/runs"
    answer = await pass_on(request, parts.peers, url, body=body, more={TRACK_HEADER: track})
    if answer.status_code == HTTPStatus.CREATED:
        answer.status_code = HTTPStatus.OK  # the earlier function knew no other success
    return answer


@router.post(
    f"{_FUNCTIONS}/parcours-xl-runner",
    summary="Continue a run",
    responses={**_OK, **problem_responses(400, 401, 403, 413, 415, 429, 503)},
    openapi_extra=request_body(RunId),
)
async def run(request: Request, parts: PartsOf, _user: MaybeSignedIn) -> Response:
    return await pass_on(request, parts.peers, f"{parts.settings.runner_url}/runner")


@router.get(
    f"{_FUNCTIONS}/parcours-xl-runner/logs",
    summary="What happened to one's own runs",
    responses={200: {"description": "Entries, newest runs first"}, **problem_responses(401, 429, 503)},
)
async def logs(request: Request, parts: PartsOf, _user: SignedIn) -> Response:
    url = f"{parts.settings.runner_url}/runner/logs"
    return await pass_on(request, parts.peers, url, query=request.url.query)


@router.post(
    f"{_FUNCTIONS}/parcours-xl-generate",
    summary="Ask for a segment, if it is its turn",
    responses={**_OK, **problem_responses(400, 401, 403, 413, 415, 429, 503)},
    openapi_extra=request_body(SegmentId),
)
async def generate(request: Request, parts: PartsOf, _user: MaybeSignedIn) -> Response:
    return await pass_on(request, parts.peers, f"{parts.settings.runner_url}/generate")


@router.post(
    f"{_FUNCTIONS}/sign-track",
    summary="An address of a finished file, good for an hour",
    responses={200: {"model": SignedUrl}, **problem_responses(400, 401, 403, 404, 409, 413, 415, 429, 503)},
    openapi_extra=request_body(SegmentId),
)
async def sign_track(request: Request, parts: PartsOf, _well_formed: SegmentInBody, _user: SignedIn) -> Response:
    return await pass_on(request, parts.peers, f"{parts.settings.signer_url}/sign-track")


@router.post(
    "/callback",
    operation_id="callback_of_a_provider",
    summary="A provider's webhook",
    responses={**_OK, **problem_responses(400, 401, 413, 415, 503)},
)
@router.post(
    f"{_FUNCTIONS}/parcours-xl-callback",
    summary="A provider's webhook",
    responses={**_OK, **problem_responses(400, 401, 413, 415, 503)},
)
async def callback(
    request: Request,
    parts: PartsOf,
    segment: Annotated[str, Query(description="the segment's id")] = "",
    token: Annotated[str, Query(description="of the attempt")] = "",
) -> Response:
    del segment, token  # documented here, read by the callback service from the query as it came
    return await pass_on(request, parts.peers, f"{parts.settings.callback_url}/callback", query=request.url.query)
