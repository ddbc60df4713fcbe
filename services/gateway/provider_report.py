"""Owns what the edge tells of the providers: asked of the generator at most once in five seconds."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import Field

from services.gateway.clients import Peers, unavailable
from services.gateway.shape import Shape

KEPT_SECONDS: Final = 5.0  # operations.md §6.1
_FOR_OPERATORS: Final = {"account": None, "balance": None, "slots": None}


class Slots(Shape):
    """Calls that an account may make in a window: by contract, after throttling, and under way or resting now."""

    contract: int
    allowed: int
    busy: int


class ProviderHealth(Shape):
    """A provider's account, judged by the last real calls; the account itself, its balance and slots for operators."""

    provider: str
    status: Literal["ok", "degraded", "closed", "unknown"]
    circuit: Literal["open", "closed"] = Field(description="closed: calls pass")
    reason: str | None = Field(description="why the circuit is open: breaker, maintenance, wallet, key")
    closed_until: datetime | None = Field(description="null while closed: until somebody opens it")
    last_success_at: datetime | None
    last_error_code: str | None
    last_error_at: datetime | None
    account: str | None = None
    balance: float | None = None
    slots: Slots | None = None


class ProvidersHealth(Shape):
    providers: list[ProviderHealth]


class ProviderReport:
    """The generator's last word on its providers' accounts."""

    def __init__(self) -> None:
        self._asking = asyncio.Lock()
        self._accounts: list[ProviderHealth] = []
        self._asked_at: float | None = None
        self._failures = 0

    async def read(self, peers: Peers, generator_url: str) -> list[ProviderHealth]:
        """Return one entry an account; raises a 503 problem while the generator is away."""
        failed_before = self._failures
        async with self._asking:
            if self._failures != failed_before:  # whoever waited shares it; in turn they would wait for minutes
                raise unavailable()
            if self._asked_at is None or time.monotonic() - self._asked_at > KEPT_SECONDS:
                try:
                    self._accounts = await _ask(peers, generator_url)
                except Exception:
                    self._failures += 1
                    raise
                self._asked_at = time.monotonic()
            return self._accounts


async def _ask(peers: Peers, generator_url: str) -> list[ProviderHealth]:
    answer = await peers.ask_inside(f"{generator_url}/internal/providers")
    if not isinstance(answer, dict):
        raise unavailable()
    return [ProviderHealth.model_validate(entry) for entry in answer["providers"]]


def for_everybody(accounts: Sequence[ProviderHealth]) -> list[ProviderHealth]:
    """Return the entries without what is an operator's business."""
    return [entry.model_copy(update=_FOR_OPERATORS) for entry in accounts]


def flat(accounts: Sequence[ProviderHealth]) -> Mapping[str, Any]:
    """Return the earlier shape: `{"fal": "ok", "replicate": "fail", "replicate_error": "http_500"}`.

    A provider is ok when one of its accounts is, or was at its last call; one nobody has called yet is `unknown`.
    """
    shape: dict[str, Any] = {}
    for provider in dict.fromkeys(entry.provider for entry in accounts):
        entries = [entry for entry in accounts if entry.provider == provider]
        if any(_serves(entry) for entry in entries):
            shape[provider] = "ok"
        elif all(entry.status == "unknown" for entry in entries):
            shape[provider] = "unknown"
        else:
            shape[provider] = "fail"
            worst = next(entry for entry in entries if entry.status != "unknown")
            shape[f"{provider}_error"] = worst.reason or worst.last_error_code
    return shape


def _serves(entry: ProviderHealth) -> bool:
    if entry.status != "degraded":
        return entry.status == "ok"
    succeeded, failed = entry.last_success_at, entry.last_error_at
    return succeeded is not None and (failed is None or succeeded >= failed)
