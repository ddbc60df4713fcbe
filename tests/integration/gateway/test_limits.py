"""Owns the claims about what is too much: requests per user and address, bodies; and about CORS."""

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.settings import Settings
from tests.integration.gateway import world
from tests.integration.gateway.world import ORIGIN, bearer

ALLOWED_HEADERS = {
    "authorization",
    "apikey",
    "x-client-info",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "range",
}


def _limited(dsn: str, behind: world.Peer, objects: Path, **more: Any) -> Settings:
    return world.settings(dsn, behind, objects, **more)


async def test_a_users_61st_request_of_a_minute_is_429_and_anothers_first_is_not(
    shared_database: str, behind: world.Peer, objects: Path
) -> None:
    user, other = uuid.uuid4(), uuid.uuid4()
    configured = _limited(shared_database, behind, objects, user_requests_per_minute=60)
    async with world.gateway(configured) as edge:
        for _ in range(60):
            assert (await edge.get("/v1/runs", headers=bearer(user))).status_code == 200
        refused = await edge.get("/v1/runs", headers=bearer(user))
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await edge.get(f"/v1/runs/{uuid.uuid4()}/log", headers=bearer(user))).status_code == 429
        assert (await edge.get("/v1/runs", headers=bearer(other))).status_code == 200


async def test_an_address_has_a_limit_of_its_own_that_probes_do_not_use_up(
    shared_database: str, behind: world.Peer, objects: Path
) -> None:
    async with world.gateway(_limited(shared_database, behind, objects, address_requests_per_minute=5)) as edge:
        for path in ("/livez", "/readyz", "/health", "/api/v1/health", "/metrics") * 2:
            assert (await edge.get(path)).status_code != httpx.codes.TOO_MANY_REQUESTS, path
        statuses = [(await edge.get("/v1/runs")).status_code for _ in range(6)]
        assert statuses == [401] * 5 + [429]
        assert (await edge.get("/livez")).status_code == 200


@pytest.mark.parametrize(
    ("trusted", "sent", "same"),
    [
        # Nobody is trusted: whatever the header says, it is one address.
        ("", ["1.1.1.1", "2.2.2.2"], True),
        # The socket's is a proxy of ours: the last untrusted entry is the caller.
        ("127.0.0.1", ["1.1.1.1", "2.2.2.2"], False),
        ("127.0.0.0/8", ["9.9.9.9, 1.1.1.1", "8.8.8.8, 1.1.1.1"], True),  # what the caller wrote itself is no news
        ("127.0.0.1, 10.0.0.0/8", ["1.1.1.1, 10.1.2.3", "2.2.2.2, 10.1.2.3"], False),
        ("127.0.0.1", ["2001:db8:1:2::1", "2001:db8:1:2::ffff"], True),  # one site
        ("127.0.0.1", ["2001:db8:1:2::1", "2001:db8:1:3::1"], False),
        ("127.0.0.1", ["1.1.1.1, junk", "2.2.2.2, junk"], True),  # the proxy's own address is all we know
    ],
)
async def test_the_address_is_the_sockets_or_the_last_untrusted_one(
    shared_database: str, behind: world.Peer, objects: Path, *, trusted: str, sent: list[str], same: bool
) -> None:
    configured = _limited(shared_database, behind, objects, address_requests_per_minute=1, trusted_proxies=trusted)
    async with world.gateway(configured) as edge:
        statuses = [(await edge.get("/v1/runs", headers={"x-forwarded-for": hop})).status_code for hop in sent]
    assert statuses == ([401, 429] if same else [401, 401])


async def test_a_webhook_with_a_valid_token_is_never_counted_one_without_is(
    shared_database: str, behind: world.Peer, objects: Path
) -> None:
    path = "/functions/v1/parcours-xl-callback?segment=s&token=t"
    async with world.gateway(_limited(shared_database, behind, objects, address_requests_per_minute=3)) as edge:
        behind.will("POST", "/callback", 200, {"ok": True})
        for _ in range(10):
            assert (await edge.post(path, content=b"{}")).status_code == 200
        behind.will("POST", "/callback", 401, {"code": "unauthenticated"})
        statuses = [(await edge.post(path, content=b"{}")).status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        behind.will("POST", "/callback", 200, {"ok": True})
        assert (await edge.post(path, content=b"{}")).status_code == 200  # a guesser beside it changes nothing
        behind.will("POST", "/callback", 503, {"code": "unavailable"})
        assert (await edge.post(path, content=b"{}")).status_code == 503  # so that the provider comes again


@pytest.mark.parametrize("path", ["/v1/runs", "/functions/v1/parcours-xl-create", "/callback", "/v1/nothing"])
async def test_a_body_beyond_64_kib_is_413_and_reaches_nobody(
    edge: httpx.AsyncClient, behind: world.Peer, user: uuid.UUID, path: str
) -> None:
    for body in (b"x" * (64 * 1024 + 1), b"x" * 10_000_000):
        answer = await edge.post(path, content=body, headers=bearer(user))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert not behind.heard


async def test_a_body_of_exactly_64_kib_passes(edge: httpx.AsyncClient, behind: world.Peer) -> None:
    behind.will("POST", "/callback", 200, {"ok": True})
    assert (await edge.post("/callback", content=b" " * 64 * 1024)).status_code == 200
    assert len(behind.heard[0].body) == 64 * 1024


@pytest.mark.parametrize("path", ["/v1/runs", "/functions/v1/parcours-xl-create", "/media/parcours-tracks/x", "/none"])
async def test_a_preflight_needs_no_user(edge: httpx.AsyncClient, path: str) -> None:
    asked = {"origin": ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "apikey"}
    answer = await edge.options(path, headers=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE, OPTIONS"
    assert set(answer.headers["access-control-allow-headers"].split(", ")) == ALLOWED_HEADERS
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"{ORIGIN}.evil.example", "http://app.example", f"{ORIGIN}:8443"]
)
async def test_another_origin_is_told_nothing(edge: httpx.AsyncClient, origin: str) -> None:
    asked = {"origin": origin, "access-control-request-method": "POST"}
    preflight = await edge.options("/v1/runs", headers=asked)
    simple = await edge.get("/v1/runs", headers={"origin": origin})
    assert (preflight.status_code, preflight.json()["code"]) == (403, "origin_not_allowed")
    assert simple.status_code == 401
    for answer in (preflight, simple):
        assert "access-control-allow-origin" not in answer.headers


async def test_a_listed_origin_may_read_refusals_of_any_layer(
    shared_database: str, behind: world.Peer, objects: Path
) -> None:
    async with world.gateway(_limited(shared_database, behind, objects, address_requests_per_minute=2)) as edge:
        headers = {"origin": ORIGIN}
        answers = [
            await edge.get("/v1/runs", headers=headers),
            await edge.post("/v1/runs", headers=headers, content=b"x" * 70_000),
            await edge.get("/v1/runs", headers=headers),
        ]
    assert [answer.status_code for answer in answers] == [401, 413, 429]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-expose-headers"] == "content-range, etag, retry-after"
