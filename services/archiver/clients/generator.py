"""Owns the question to the generator whether a provider stands by its news (W4), and which files it names."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import httpx
import structlog

CONFIRM_SECONDS: Final = 10.0  # W4: then the callback's own addresses are used, counted

State = Literal["success", "running", "failed", "unknown", "unanswered"]
_STATES: Final = frozenset({"success", "running", "failed", "unknown"})

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the provider says over the generator's own connection; `unanswered` when nobody said anything in time."""

    state: State
    takes: tuple[str, ...] = ()


class Generator:
    """The generator's internal route."""

    def __init__(self, client: httpx.AsyncClient, base: str, secret: str) -> None:
        self._client = client
        self._base = base
        self._secret = secret

    async def confirm(self, attempt_id: UUID) -> Confirmation:
        """Ask once; never raises for an answer that does not come or makes no sense."""
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                response = await self._client.post(
                    f"{self._base}/internal/attempts/{attempt_id}/confirm",
                    headers={"x-internal-secret": self._secret},
                    timeout=CONFIRM_SECONDS,
                )
            response.raise_for_status()
            return _read(response.json())
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError) as error:
            _log.warning("confirm_unanswered", attempt=str(attempt_id), error_class=type(error).__name__)
            return Confirmation("unanswered")


def _read(body: Any) -> Confirmation:  # noqa: ANN401 - JSON
    if body["state"] not in _STATES:
        raise ValueError("expected a known state")
    urls = tuple(str(take["url"]) for take in body.get("takes") or () if take.get("url"))
    if body["state"] == "success" and not urls:
        return Confirmation("unanswered")
    return Confirmation(body["state"], urls)
