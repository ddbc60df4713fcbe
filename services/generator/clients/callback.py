"""The callback service's internal route, which hears our findings in the provider's own webhook dialect."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
import orjson
import structlog

from services.generator.domain.clockwork import Clockwork

_log = structlog.get_logger()


class CallbackClient:
    """Hands our findings to the callback service, as the webhook that would have said the same."""

    def __init__(self, http: httpx.AsyncClient, base_url: str, secret: str, clock: Clockwork) -> None:
        self._http = http
        self._base_url = base_url
        self._secret = secret
        self._clock = clock

    async def news(self, attempt_id: UUID, body: Mapping[str, Any]) -> bool:
        """True when it was taken; else the next look-up tells it again."""
        url = f"{self._base_url}/internal/attempts/{attempt_id}/news"
        headers = {"x-internal-secret": self._secret, "content-type": "application/json"}
        try:
            async with asyncio.timeout(self._clock.lookup_timeout):
                response = await self._http.post(url, content=orjson.dumps(body), headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            _log.warning("callback_unreachable", attempt_id=str(attempt_id), error_class=type(error).__name__)
            return False
        if not response.is_success:
            _log.warning("news_refused", attempt_id=str(attempt_id), status=response.status_code)
        return response.is_success
