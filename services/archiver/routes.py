"""Owns the archiver's internal HTTP: a preview while it grows."""

import hmac
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import SecretStr

from libs.common.errors import Problem
from services.archiver.domain.failures import MayPass
from services.archiver.handlers.serving import Previews


def internal_routes(previews: Previews, secret: SecretStr) -> APIRouter:
    """Build the routes that only our own services may call."""
    router = APIRouter(prefix="/internal")

    @router.get("/previews/{segment}")
    async def preview(
        segment: UUID,
        attempt: Annotated[int | None, Query(description="whose preview; nothing when another one is shown")] = None,
        x_internal_secret: Annotated[str, Header()] = "",
    ) -> StreamingResponse:
        """Stream a preview from its first byte on, as it grows; without a length."""
        _refuse_strangers(x_internal_secret, secret)
        try:
            chunks = await previews.find(segment, attempt)
        except MayPass as pause:
            raise Problem(503, "preview_unavailable", headers={"retry-after": "1"}) from pause
        if chunks is None:
            raise Problem(404, "not_found")
        return StreamingResponse(chunks, media_type="audio/mpeg", headers={"cache-control": "no-store"})

    return router


def _refuse_strangers(given: str, secret: SecretStr) -> None:
    wanted = secret.get_secret_value()
    if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Problem(401, "unauthorized")
