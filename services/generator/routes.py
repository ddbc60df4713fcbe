"""Internal HTTP: confirm what a webhook claimed, tell how the providers are."""

import hmac
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header
from pydantic import SecretStr

from libs.common.errors import Problem
from services.generator.handlers.health import ProviderHealth, provider_health
from services.generator.handlers.lookups import confirm
from services.generator.handlers.resources import Resources


def make_router(held: "dict[str, Resources]", secret: SecretStr) -> APIRouter:
    """Routes for services that know the secret; `held` is filled by the lifespan."""

    def guard(x_internal_secret: str = Header(default="")) -> None:
        expected = secret.get_secret_value()
        if not expected or not hmac.compare_digest(x_internal_secret.encode(), expected.encode()):
            raise Problem(401, "unauthenticated")

    router = APIRouter(prefix="/internal", dependencies=[Depends(guard)])

    @router.post("/attempts/{attempt_id}/confirm")
    async def confirm_attempt(attempt_id: UUID) -> dict[str, Any]:
        finding = await confirm(held["resources"], attempt_id)
        if finding is None:
            raise Problem(404, "not_found")
        return {"state": finding.state, "takes": list(finding.takes)}

    @router.get("/providers")
    async def providers() -> dict[str, list[ProviderHealth]]:
        return {"providers": await provider_health(held["resources"])}

    return router
