"""Owns the outbound webhooks: one POST a stage, repeated as the reseller repeats them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx


class UndeliveredError(RuntimeError):
    """Nobody answered 200, however often it was tried."""


class CallbackSender:
    """Posts callbacks; 15 s for an answer of 200, then the given pauses between repeats."""

    def __init__(self, client: httpx.AsyncClient, *, timeout_seconds: float, retry_seconds: Sequence[float]) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = tuple(retry_seconds)

    async def try_once(self, url: str, body: Mapping[str, Any]) -> bool:
        """Whether the receiver took it."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._client.post(url, json=body)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return False
        return answer.status_code == httpx.codes.OK

    async def repeat(self, url: str, body: Mapping[str, Any]) -> None:
        """The repeats after a first try that failed; raises UndeliveredError."""
        for seconds in self._retry_seconds:
            await asyncio.sleep(seconds)
            if await self.try_once(url, body):
                return
        raise UndeliveredError(f"no 200 in {1 + len(self._retry_seconds)} tries")
