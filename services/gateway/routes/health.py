"""Owns the reports that the operators' dashboards read under the API's own paths: the parts, and the providers."""

from typing import Any, Final

from fastapi import APIRouter, Response

from libs.common.health import Health
from services.gateway.handlers import OPERATOR
from services.gateway.provider_report import ProviderReport, ProvidersHealth, flat, for_everybody
from services.gateway.routes.dependencies import MaybeSignedIn, PartsOf, operation_name, problem_responses

_FLAT: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "ok, fail or unknown by provider, with the reason of each failure",
        "content": {
            "application/json": {
                "schema": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
                "example": {"suno": "ok", "fal": "fail", "fal_error": "http_403"},
            }
        },
    }
}


def router(health: Health) -> APIRouter:
    """Return the routes; the probes themselves (`/livez`, `/readyz`, `/health`) are those of every service."""
    routes = APIRouter(tags=["operations"], generate_unique_id_function=operation_name)

    @routes.get("/api/v1/health", summary="Whether the parts answer, and how fast")
    async def report(response: Response) -> dict[str, object]:
        response.headers["cache-control"] = "no-store"
        return await health.report()

    providers = ProviderReport()

    @routes.get(
        "/v1/health/providers",
        summary="How the music providers are, from the last real calls",
        responses=problem_responses(401, 429, 503),
        openapi_extra={"security": [{"HTTPBearer": []}, {}]},  # an operator is told more
    )
    async def providers_health(response: Response, parts: PartsOf, reader: MaybeSignedIn) -> ProvidersHealth:
        response.headers["cache-control"] = "no-store"
        accounts = await providers.read(parts.peers, parts.settings.generator_url)
        is_operator = reader is not None and OPERATOR in reader.roles
        return ProvidersHealth(providers=accounts if is_operator else for_everybody(accounts))

    @routes.get(
        "/api/health/providers",
        summary="The same in the earlier flat shape",
        responses={**_FLAT, **problem_responses(429, 503)},
    )
    async def earlier_providers_health(response: Response, parts: PartsOf) -> dict[str, Any]:
        response.headers["cache-control"] = "no-store"
        return dict(flat(await providers.read(parts.peers, parts.settings.generator_url)))

    return routes
