"""Owns a run's stream of server-sent events."""

from typing import Annotated, Any

from fastapi import APIRouter, Header

from services.gateway import handlers
from services.gateway.pieces import PiecesResponse, primed
from services.gateway.routes.dependencies import PartsOf, RunInPath, SignedIn, operation_name, problem_responses
from services.gateway.stream import StreamParts, frames

router = APIRouter(tags=["runs"], generate_unique_id_function=operation_name)
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}  # proxies must not collect a stream
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`snapshot` (a RunView), then one event a topic (ProgressEvent); ids resume with Last-Event-ID.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'event: segment.first\nid: 42\ndata: {"runId": "…", "segmentId": "…", "at": "…"}\n\n',
            }
        },
    }
}


@router.get(
    "/v1/runs/{run_id}/events",
    summary="A journey as it comes about",
    response_class=PiecesResponse,
    responses=_STREAM | problem_responses(400, 401, 403, 404, 429, 503),
)
async def follow_run(
    parts: PartsOf,
    run_id: RunInPath,
    user: SignedIn,
    last_event_id: Annotated[str | None, Header(description="resume after this event")] = None,
) -> PiecesResponse:
    await handlers.require_owner(parts.database, run_id, user)
    stream = StreamParts(
        database=parts.database,
        feed=parts.feed,
        links=parts.links,
        queue=parts.settings.stream_queue,
        heartbeat_seconds=parts.settings.stream_heartbeat_seconds,
    )
    pieces = await primed(frames(stream, run_id, last_event_id))
    return PiecesResponse(pieces, media_type="text/event-stream", headers=_HEADERS)
