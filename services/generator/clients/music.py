"""The music providers behind one face: each account is spoken to in its provider's dialect, and nothing is raised."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import httpx
import structlog

from services.generator.clients import transport
from services.generator.clients.dialect import Access, Call, Dialect, Reply, Task
from services.generator.clients.fal import Fal
from services.generator.clients.kie import Kie
from services.generator.clients.replicate import Replicate
from services.generator.clients.suno import Suno
from services.generator.domain.answers import Accepted, Answer, Finding, Refused
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.request import SegmentBrief
from services.generator.domain.verdicts import Judgement, Verdict

DIALECTS: Final[Mapping[str, Dialect]] = {"sunoapi": Suno(), "kie": Kie(), "fal": Fal(), "replicate": Replicate()}
"""By the name that a provider's data file gives."""
# Nothing has reached the provider: no connection, or none that the other side would talk on.
_UNSENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)

_log = structlog.get_logger()


class MusicClient:
    """Speaks to every account; what goes wrong is an answer, never an exception."""

    def __init__(self, http: httpx.AsyncClient, accounts: Mapping[str, Access], clock: Clockwork) -> None:
        self._http = http
        self._accounts = accounts
        self._clock = clock

    async def generate(self, account: str, brief: SegmentBrief, token: UUID) -> Answer:
        """Submit once. Only a failure before the first byte, or the provider's own word, counts as refused."""
        access = self._accounts[account]
        dialect, table = DIALECTS[access.provider.dialect], access.provider.verdicts
        try:
            call = dialect.submission(access, brief, token)
        except (KeyError, TypeError, ValueError, OverflowError):
            return Refused(Judgement(Verdict.BAD_REQUEST, "plan_malformed"), replied=True)
        try:
            async with asyncio.timeout(self._clock.submit_timeout):
                reply = await self._send(call)
        except _UNSENT:
            return Refused(table.judge("transport", "connect"), replied=True)
        except (httpx.TimeoutException, TimeoutError):
            return Refused(table.judge("transport", "timeout"), replied=False)
        except httpx.HTTPError:
            return Refused(table.judge("transport", "lost"), replied=False)
        answer = dialect.read_submission(access, reply)
        return replace(answer, cost=dialect.price(access, brief.plan)) if isinstance(answer, Accepted) else answer

    def price(self, account: str, plan: Mapping[str, Any]) -> float | None:
        """What a segment costs there, in the provider's unit; `None` for an account that is configured no more."""
        access = self._accounts.get(account)
        if access is None:
            return None
        listed = DIALECTS[access.provider.dialect].price(access, plan)
        return access.provider.credits_per_generation if listed is None else listed

    async def record_info(self, account: str, task_id: str, facts: Mapping[str, object] | None = None) -> Finding:
        """What the provider says of a task; `unknown` when it cannot be asked. `facts`: those of its acceptance."""
        access = self._accounts.get(account)
        if access is None:  # an account that is configured no more
            return Finding("unknown")
        ask = self._asker(account)
        return await DIALECTS[access.provider.dialect].look_up(access, Task(task_id, facts or {}), ask)

    async def credit(self, account: str) -> float | None:
        """The balance of an account; `None` when it cannot be asked, or there is nobody to ask."""
        access = self._accounts.get(account)
        if access is None or (call := DIALECTS[access.provider.dialect].credit(access)) is None:
            return None
        reply = await self._asker(account)(call)
        return None if reply is None else DIALECTS[access.provider.dialect].read_credit(reply)

    async def webhook_keys(self, account: str) -> Mapping[str, str] | None:
        """The public keys (or the shared secret) of the provider's webhooks by key id; `None` when none was got."""
        access = self._accounts.get(account)
        if access is None or (call := DIALECTS[access.provider.dialect].keys(access)) is None:
            return None
        reply = await self._asker(account)(call)
        return None if reply is None else DIALECTS[access.provider.dialect].read_keys(reply)

    def _asker(self, account: str) -> "_Asker":
        return _Asker(self, account, self._clock.lookup_timeout)

    async def _send(self, call: Call) -> Reply:
        clock = self._clock
        return await transport.send(self._http, call, timeout=clock.submit_timeout, connect=clock.connect_timeout)


class _Asker:
    """Asks an account questions that cost nothing, all of them together within the look-up's time."""

    def __init__(self, client: MusicClient, account: str, seconds: float) -> None:
        self._client = client
        self._account = account
        self._until = asyncio.get_running_loop().time() + seconds

    async def __call__(self, call: Call) -> Reply | None:
        try:
            async with asyncio.timeout_at(self._until):
                return await self._client._send(call)  # noqa: SLF001 - its own client
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            _log.warning("provider_unreachable", account=self._account, error_class=type(error).__name__)
            return None
