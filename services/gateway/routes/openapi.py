"""Owns the edge's OpenAPI 3.1 document: typed answers, problems, the security scheme, earlier paths included."""

from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.gateway.schemas import EarlierRun, NewRun, Problem, ProgressEvent, RunId, SegmentId

# Read by services behind, or sent inside a stream: no route of ours declares them.
_MORE: tuple[type[BaseModel], ...] = (Problem, NewRun, EarlierRun, RunId, SegmentId, ProgressEvent)
_DESCRIPTION = (
    "From how a person feels to an 18-24 minute music journey. Errors are RFC 9457 problem documents with a stable "
    "`code`; every id is checked against its owner before its state."
)


def document(app: FastAPI) -> dict[str, Any]:
    """Build the document of this application's routes."""
    built = get_openapi(
        title="Parcours", version=app.version, openapi_version="3.1.0", description=_DESCRIPTION, routes=app.routes
    )
    schemas = built.setdefault("components", {}).setdefault("schemas", {})
    _, more = models_json_schema(
        [(model, "validation") for model in _MORE], ref_template="#/components/schemas/{model}", by_alias=True
    )
    schemas |= more["$defs"]
    _without_framework_errors(built)
    return built


def install(app: FastAPI) -> None:
    """Serve the document, built once."""
    body = orjson.dumps(document(app), option=orjson.OPT_INDENT_2)
    router = APIRouter(include_in_schema=False)  # of this application alone: two in one process have two documents

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return Response(body, media_type="application/json", headers={"cache-control": "no-cache"})

    app.include_router(router)


def _without_framework_errors(built: dict[str, Any]) -> None:
    """Drop the 422 that the framework adds to every route with parameters: ours are problems."""
    for path in built["paths"].values():
        for operation in path.values():
            refused = operation["responses"].get("422", {})
            if "application/json" in refused.get("content", {}):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        built["components"]["schemas"].pop(name, None)
