"""Owns the claims about every service's probes, health, figures, request ids and bounds on bodies."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message, Scope

from libs.common import http, metrics
from libs.common.http import BodyLimit, create_app
from libs.common.settings import ServiceSettings
from tests.unit.common.sample import MARKER, assert_problem, fine, nothing_to_open

# --- probes ---


async def test_a_started_service_is_ready_until_it_drains(app: FastAPI, client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).status_code == 200
    app.state.readiness.waiting_for.add("schema")
    assert (await client.get("/readyz")).status_code == 503
    app.state.readiness.waiting_for.clear()
    app.state.readiness.draining.set()
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
    assert (await client.get("/livez")).status_code == 200


async def test_a_service_is_not_ready_before_its_lifespan_opened(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sample") as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "starting"})


async def test_a_loop_that_stands_still_for_a_minute_is_not_alive(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.state.pulse.beat("relay")
    app.state.pulse.beat("sweep")
    assert (await client.get("/livez")).status_code == 200
    monkeypatch.setattr("libs.common.health.STALLED_AFTER_S", -1.0)
    app.state.pulse.forget("sweep")
    answer = await client.get("/livez")
    assert (answer.status_code, answer.json()["stalled"]) == (503, ["relay"])


async def test_health_names_the_dependency_that_is_away_and_no_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refused() -> None:
        raise ConnectionRefusedError(f"db.internal {MARKER}")

    async def hangs() -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr("libs.common.health.CHECK_TIMEOUT_S", 0.05)
    checks = {"database": refused, "broker": hangs, "objectStore": fine}
    app = create_app(service="sample", settings=ServiceSettings(), lifespan=nothing_to_open, checks=checks)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sample") as client:
        answer = await client.get("/health")
        livez = await client.get("/livez")
    body = answer.json()
    assert (answer.status_code, body["status"], livez.status_code) == (200, "degraded", 200)
    assert {name: check["status"] for name, check in body["checks"].items()} == {
        "database": "failed", "broker": "failed", "objectStore": "ok",
    }  # fmt: skip
    assert body.keys() == {"status", "version", "track", "checks"}
    assert all(check.keys() == {"status", "latencyMs", "checkedAt"} for check in body["checks"].values())
    assert "internal" not in answer.text
    capsys.readouterr()


async def test_checks_are_asked_once_for_many_probes() -> None:
    asked: list[int] = []

    async def check() -> None:
        asked.append(1)
        await asyncio.sleep(0.01)

    app = create_app(service="sample", settings=ServiceSettings(), lifespan=nothing_to_open, checks={"database": check})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sample") as client:
        answers = await asyncio.gather(*(client.get("/health") for _ in range(20)))
    assert {answer.json()["status"] for answer in answers} == {"ok"}
    assert len(asked) == 1


async def test_requests_are_counted_by_template_and_probes_are_not(client: httpx.AsyncClient) -> None:
    await client.get("/v1/orders/00000000-0000-4000-8000-000000000001")
    await client.get(f"/nowhere/{MARKER}")
    await client.get("/livez")
    page = (await client.get("/metrics")).text
    labels = 'code="200",method="GET",route="/v1/orders/{order_id}",service="sample",track="stable",version="1.2"'
    assert f"http_requests_total{{{labels}}} 1.0" in page
    assert 'route="unmatched"' in page
    assert "livez" not in page
    assert MARKER not in page


async def test_open_metrics_is_spoken_when_asked_for(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert metrics.render()[1].startswith("text/plain")


# --- request ids and bodies ---


@pytest.mark.parametrize(
    ("offered", "kept"), [("abcdefgh-1", True), ("short", False), ("a b\x7fc" * 3, False), ("x" * 65, False)]
)
async def test_a_harmless_request_id_is_kept_and_any_other_replaced(
    client: httpx.AsyncClient, offered: str, *, kept: bool
) -> None:
    answer = await client.get("/livez", headers={b"x-request-id": offered.encode()})
    assert (answer.headers["x-request-id"] == offered) == kept
    assert len(answer.headers["x-request-id"]) >= 8


async def test_a_body_up_to_the_limit_passes_and_one_beyond_is_refused(client: httpx.AsyncClient) -> None:
    fits = json.dumps({"preset_key": "a"}).encode()
    headers = {"content-type": "application/json"}
    padded = fits + b" " * (http.BODY_LIMIT - len(fits))
    assert (await client.post("/v1/orders", content=padded, headers=headers)).status_code == 200
    answer = await client.post("/v1/orders", content=padded + b" ", headers=headers)
    assert assert_problem(answer, 413, "too_large")["limit"] == http.BODY_LIMIT
    assert answer.headers["x-request-id"]


async def test_a_body_of_unstated_length_is_bounded_too(client: httpx.AsyncClient) -> None:
    sent: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(160):  # 10 MB
            sent.append(1)
            yield b"x" * 65_536

    assert_problem(await client.post("/v1/orders", content=endless()), 413, "too_large")
    assert len(sent) <= 3


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity", "x"])
async def test_an_encoded_body_is_refused(client: httpx.AsyncClient, encoding: str) -> None:
    packed = gzip.compress(json.dumps({"preset_key": "a"}).encode())
    assert_problem(
        await client.post("/v1/orders", content=packed, headers={"content-encoding": encoding}),
        415,
        "unsupported_encoding",
    )


async def test_a_body_that_drips_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_TIMEOUT_S", 0.05)
    sent = await _through_body_limit(lambda: asyncio.sleep(3600))
    assert sent[0]["status"] == 408


async def test_a_caller_that_goes_away_in_its_body_gets_no_answer() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    assert await _through_body_limit(gone) == []


async def _through_body_limit(receive: Callable[[], object]) -> list[Message]:
    sent: list[Message] = []

    async def unreachable(*_: object) -> None:
        raise AssertionError("the application was called")

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"5")]}
    await BodyLimit(unreachable)(scope, receive, send)  # type: ignore[arg-type]  # a receiver that never answers
    return sent
