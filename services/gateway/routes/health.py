"""Owns the report that the operators' dashboards read under the API's own path."""

from fastapi import APIRouter, Response

from libs.common.health import Health
from services.gateway.routes.dependencies import operation_name


def router(health: Health) -> APIRouter:
    """Return the route; the probes themselves (`/livez`, `/readyz`, `/health`) are those of every service."""
    routes = APIRouter(tags=["operations"], generate_unique_id_function=operation_name)

    @routes.get("/api/v1/health", summary="Whether the parts answer, and how fast")
    async def report(response: Response) -> dict[str, object]:
        response.headers["cache-control"] = "no-store"
        return await health.report()

    return routes
