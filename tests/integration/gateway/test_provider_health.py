"""Owns the claims about the providers' health: from the generator's word, cached, with the operators' part apart."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.clients import open_peers
from services.gateway.provider_report import ProviderReport
from tests.integration.gateway import world
from tests.integration.gateway.world import bearer

PATH = "/v1/health/providers"
EARLIER = "/api/health/providers"
LATE, EARLY = "2026-11-21T12:00:05+00:00", "2026-11-21T12:00:00+00:00"


def entry(provider: str, status: str, **facts: Any) -> dict[str, Any]:
    """An account as the generator tells of it."""
    known = {
        "provider": provider,
        "account": f"{provider}-1",
        "status": status,
        "circuit": "closed",
        "reason": None,
        "closedUntil": None,
        "lastSuccessAt": None,
        "lastErrorCode": None,
        "lastErrorAt": None,
        "balance": 88.0,
        "slots": {"contract": 20, "allowed": 10, "busy": 3},
    }
    return known | facts


@pytest.fixture
async def own_edge(shared_database: str, behind: world.Peer, objects: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway that has asked nobody yet."""
    async with world.gateway(world.settings(shared_database, behind, objects)) as client:
        yield client


async def test_everybody_sees_the_state_and_operators_account_balance_and_slots_too(
    own_edge: httpx.AsyncClient, behind: world.Peer, user: uuid.UUID
) -> None:
    told = entry("suno", "closed", circuit="open", reason="wallet", lastErrorCode="body_429", lastErrorAt=LATE)
    behind.will("GET", "/internal/providers", 200, {"providers": [told]})
    for headers in ({}, bearer(user)):
        answer = await own_edge.get(PATH, headers=headers)
        assert answer.headers["cache-control"] == "no-store"
        [seen] = answer.json()["providers"]
        assert (seen["status"], seen["circuit"], seen["reason"]) == ("closed", "open", "wallet")
        assert (seen["lastErrorCode"], seen["lastSuccessAt"]) == ("body_429", None)
        assert (seen["account"], seen["balance"], seen["slots"]) == (None, None, None)
    [seen] = (await own_edge.get(PATH, headers=bearer(user, "operator"))).json()["providers"]
    assert (seen["account"], seen["balance"], seen["slots"]["allowed"]) == ("suno-1", 88.0, 10)
    [heard] = behind.heard  # the answer is kept for five seconds
    assert heard.headers["x-internal-secret"] == world.INTERNAL


async def test_the_earlier_flat_shape_names_ok_fail_and_the_reason(
    own_edge: httpx.AsyncClient, behind: world.Peer
) -> None:
    accounts = [
        entry("suno", "closed", reason="key"),
        entry("suno", "ok"),
        entry("fal", "closed", reason="wallet", lastErrorCode="http_403"),
        entry("replicate", "degraded", lastSuccessAt=EARLY, lastErrorAt=LATE, lastErrorCode="http_500"),
        entry("composer", "unknown"),
    ]
    behind.will("GET", "/internal/providers", 200, {"providers": accounts})
    assert (await own_edge.get(EARLIER)).json() == {
        "suno": "ok",
        "fal": "fail",
        "fal_error": "wallet",
        "replicate": "fail",
        "replicate_error": "http_500",
        "composer": "unknown",
    }


async def test_an_account_with_fewer_slots_that_serves_is_ok_in_the_flat_shape(
    own_edge: httpx.AsyncClient, behind: world.Peer
) -> None:
    halved = entry("suno", "degraded", lastSuccessAt=LATE, lastErrorAt=EARLY, lastErrorCode="body_430")
    behind.will("GET", "/internal/providers", 200, {"providers": [halved]})
    assert (await own_edge.get(EARLIER)).json() == {"suno": "ok"}


async def test_without_the_generator_nobody_is_called_well(own_edge: httpx.AsyncClient, behind: world.Peer) -> None:
    behind.will("GET", "/internal/providers", 401, {"code": "unauthenticated"})
    for path in (PATH, EARLIER):
        answer = await own_edge.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_a_generator_that_hangs_is_waited_for_once_by_all_who_ask() -> None:
    asked, let_go = [], asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(writer)
        await let_go.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    report = ProviderReport()
    async with server, open_peers("secret", 0.5) as peers:
        reads = [report.read(peers, f"http://127.0.0.1:{port}") for _ in range(20)]
        answers = await asyncio.gather(*reads, return_exceptions=True)
        let_go.set()
    assert [getattr(answer, "status", None) for answer in answers] == [503] * 20
    assert len(asked) == 1


async def test_a_bad_token_is_refused_though_none_is_needed(own_edge: httpx.AsyncClient) -> None:
    answer = await own_edge.get(PATH, headers={"authorization": "Bearer nonsense"})
    assert answer.status_code == 401
