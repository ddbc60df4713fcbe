"""Outbound calls: the music providers (Suno's API, which composer speaks too) and the callback's internal route."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import httpx
import orjson
import structlog

from libs.common import fault_points
from services.generator.domain.answers import (
    ACCEPTED_CODE,
    Answer,
    Finding,
    Refused,
    envelope_code,
    read_record,
    read_submission,
)
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.providers import Provider, model_limits
from services.generator.domain.request import SegmentBrief, callback_url, compose
from services.generator.domain.verdicts import Judgement, Verdict

BODY_LIMIT: Final = 1024 * 1024  # bytes; record-info of two songs with lyrics is some 20 kB
# A bot-like agent is refused by one reseller's front (providers.md §1B).
USER_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach one account. `callback_base`: the whole address to which `?segment=…&token=…` is appended."""

    provider: Provider
    base_url: str
    key: str
    model: str
    callback_base: str


class MusicClient:
    """Speaks the reseller's dialect to every account; what goes wrong is an answer, never an exception."""

    def __init__(self, http: httpx.AsyncClient, accounts: Mapping[str, Access], clock: Clockwork) -> None:
        self._http = http
        self._accounts = accounts
        self._clock = clock

    async def generate(self, account: str, brief: SegmentBrief, token: UUID) -> Answer:
        """Submit once. Only a failure before the first byte, or the provider's own word, counts as refused."""
        access = self._accounts[account]
        try:
            body = _request(access, brief, token)
        except (KeyError, TypeError, ValueError):
            return Refused(Judgement(Verdict.BAD_REQUEST, "plan_malformed"), replied=True)
        table = access.provider.verdicts
        try:
            async with asyncio.timeout(self._clock.submit_timeout):
                status, headers, answer = await self._call(
                    "POST", access, "/api/v1/generate", content=orjson.dumps(body)
                )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol):
            return Refused(table.judge("transport", "connect"), replied=True)
        except (httpx.TimeoutException, TimeoutError):
            return Refused(table.judge("transport", "timeout"), replied=False)
        except httpx.HTTPError:
            return Refused(table.judge("transport", "lost"), replied=False)
        return read_submission(status, headers, answer, table)

    async def record_info(self, account: str, task_id: str) -> Finding:
        """What the provider says of a task; `unknown` when it cannot be asked."""
        answer = await self._ask(account, "/api/v1/generate/record-info", {"taskId": task_id})
        return read_record(answer, task_id)

    async def credit(self, account: str) -> float | None:
        """The balance of an account; `None` when it cannot be asked."""
        answer = await self._ask(account, "/api/v1/generate/credit", {})
        balance = answer.get("data") if isinstance(answer, dict) else None
        if envelope_code(answer) != ACCEPTED_CODE or isinstance(balance, bool) or not isinstance(balance, int | float):
            return None
        return float(balance)

    async def _ask(self, account: str, path: str, params: Mapping[str, str]) -> object:
        access = self._accounts.get(account)
        if access is None:  # an account that is configured no more
            return None
        try:
            async with asyncio.timeout(self._clock.lookup_timeout):
                _status, _headers, answer = await self._call("GET", access, path, params=params)
        except (httpx.HTTPError, TimeoutError) as error:
            _log.warning("provider_unreachable", account=account, error_class=type(error).__name__)
            return None
        return answer

    async def _call(
        self,
        method: str,
        access: Access,
        path: str,
        **content: Any,  # noqa: ANN401 - handed on to httpx
    ) -> tuple[int, Mapping[str, str], object]:
        headers = {"authorization": f"Bearer {access.key}", "content-type": "application/json"}
        request = self._http.build_request(
            method, access.base_url + path, headers=headers, extensions={"trace": _trace}, **content
        )
        request.extensions["timeout"] = httpx.Timeout(
            self._clock.submit_timeout, connect=self._clock.connect_timeout
        ).as_dict()
        response = await self._http.send(request, stream=True)
        try:
            return response.status_code, response.headers, _decoded(await _bounded(response))
        finally:
            await response.aclose()


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


@asynccontextmanager
async def open_http() -> AsyncIterator[httpx.AsyncClient]:
    """One pool of connections; none is kept: the end of an idle one would look like a lost reply, which costs money."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
    async with httpx.AsyncClient(
        limits=limits, trust_env=False, follow_redirects=False, headers={"user-agent": USER_AGENT}
    ) as client:
        yield client


def _request(access: Access, brief: SegmentBrief, token: UUID) -> dict[str, Any]:
    return compose(
        brief,
        model=access.model,
        limits=model_limits(access.model),
        extensions=access.provider.extensions,
        callback_url=callback_url(access.callback_base, brief.segment_id, token),
    )


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > BODY_LIMIT:
            return b""
    return bytes(body)


def _decoded(body: bytes) -> object:
    try:
        answer: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer


async def _trace(event: str, _facts: object) -> None:
    """The moment between our last byte and the provider's first."""
    if event.endswith("send_request_body.complete"):
        fault_points.reach("after_send")
