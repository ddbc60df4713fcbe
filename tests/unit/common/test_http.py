"""Owns the claims about every service's HTTP: probes, problem documents, request ids, bounds on bodies."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.types import Message, Scope

from libs.common import http, metrics
from libs.common.errors import Problem
from libs.common.http import BodyLimit, create_app
from libs.common.settings import ServiceSettings

MARKER = "MARKER-5f3a"


class Colour(StrEnum):
    RED = "red"


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    preset_key: str = Field(max_length=5)
    colour: Colour = Colour.RED
    suds: int = Field(default=0, le=10)

    @field_validator("preset_key")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "bad":
            raise ValueError(f"unknown {value} {MARKER}")
        return value


@asynccontextmanager
async def _nothing_to_open(_app: FastAPI) -> AsyncIterator[None]:
    yield


async def _fine() -> None:
    return


def _add_routes(app: FastAPI) -> None:
    router = APIRouter(prefix="/v1")

    @router.post("/orders")
    async def order(body: Order) -> dict[str, str]:
        return {"preset": body.preset_key}

    @router.get("/orders")
    async def orders() -> list[str]:
        return []

    @router.get("/orders/{order_id}")
    async def read(order_id: UUID, limit: int = 1) -> dict[str, str]:
        return {"id": str(order_id), "limit": str(limit)}

    @router.get("/problem")
    async def problem() -> None:
        raise Problem(
            409, "not_ready", "Not ready", detail="Later.", headers={"retry-after": "3"}, members={"runId": "1"}
        )

    @router.get("/bug")
    async def bug() -> None:
        raise RuntimeError(f"{MARKER} postgresql://user:secret@db.internal/x")

    @router.get("/database/{kind}")
    async def database(kind: str) -> None:
        raise {
            "away": ConnectionRefusedError(),
            "slow": TimeoutError(),
            "closing": asyncpg.AdminShutdownError("closing"),
            "ours": asyncpg.DataError(MARKER),
        }[kind]

    app.include_router(router)


@pytest.fixture
def app() -> FastAPI:
    made = create_app(
        service="sample", settings=ServiceSettings(version="1.2"), lifespan=_nothing_to_open, checks={"database": _fine}
    )
    _add_routes(made)
    return made


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://sample") as opened:
            yield opened


def _assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    body: dict[str, object] = answer.json()
    assert (answer.status_code, body["code"], body["status"]) == (status, code, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert {"type", "title"} <= body.keys()
    assert MARKER not in answer.text
    return body


async def test_a_problem_is_its_document(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/problem")
    body = _assert_problem(answer, 409, "not_ready")
    assert body == {
        "type": "urn:parcours:problem:not_ready", "title": "Not ready", "status": 409, "code": "not_ready",
        "detail": "Later.", "runId": "1",
    }  # fmt: skip
    assert answer.headers["retry-after"] == "3"


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    _assert_problem(await client.get(f"/nowhere/{MARKER}"), 404, "not_found")


async def test_a_wrong_method_is_a_problem_that_says_which_are_right(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/v1/orders")
    _assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"


async def test_a_slash_too_many_is_an_unknown_path_and_no_redirect(client: httpx.AsyncClient) -> None:
    for answer in (await client.get("/v1/problem/"), await client.post("/v1/orders/", json={})):
        _assert_problem(answer, 404, "not_found")
        assert "location" not in answer.headers


async def test_an_unhandled_error_shows_nothing_but_500(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await client.get("/v1/bug")
    body = _assert_problem(answer, 500, "internal")
    assert body.keys() == {"type", "title", "status", "code"}
    assert "secret" not in answer.text + capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("away", 503, "unavailable"),
        ("slow", 503, "unavailable"),
        ("closing", 503, "unavailable"),
        ("ours", 500, "internal"),
    ],
)
async def test_a_database_that_is_away_is_503_and_our_own_fault_500(
    client: httpx.AsyncClient, kind: str, status: int, code: str
) -> None:
    answer = await client.get(f"/v1/database/{kind}")
    _assert_problem(answer, status, code)
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("body", "field", "kind"),
    [
        ({}, "body.preset_key", "missing"),
        ({"preset_key": MARKER}, "body.preset_key", "string_too_long"),
        ({"preset_key": "bad"}, "body.preset_key", "value_error"),
        ({"preset_key": "a", "colour": MARKER}, "body.colour", "enum"),
        ({"preset_key": "a", "suds": 11}, "body.suds", "less_than_equal"),
        ({"preset_key": "a", "suds": MARKER}, "body.suds", "int_parsing"),
        ({"preset_key": "a", f"a {MARKER} b": 1}, "body.…", "extra_forbidden"),
        ([MARKER], "body", "model_attributes_type"),
    ],
)
async def test_a_refused_body_names_the_field_and_never_the_value(
    client: httpx.AsyncClient, body: object, field: str, kind: str
) -> None:
    problem = _assert_problem(await client.post("/v1/orders", json=body), 422, "invalid_request")
    errors = problem["errors"]
    assert isinstance(errors, list)
    assert (errors[0]["field"], errors[0]["code"]) == (field, kind)


@pytest.mark.parametrize("body", [f"{{{MARKER}", "", "\x00", '{"a": '])
async def test_a_body_that_is_no_json_is_malformed(client: httpx.AsyncClient, body: str) -> None:
    answer = await client.post("/v1/orders", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == (400 if body else 422)
    assert MARKER not in answer.text


async def test_a_malformed_id_is_400_and_a_refused_query_422(client: httpx.AsyncClient) -> None:
    _assert_problem(await client.get(f"/v1/orders/{MARKER}"), 400, "malformed_id")
    good = "/v1/orders/00000000-0000-4000-8000-000000000001"
    assert (await client.get(good)).status_code == 200
    _assert_problem(await client.get(good, params={"limit": MARKER}), 422, "invalid_request")


async def test_the_documentation_is_off(client: httpx.AsyncClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        _assert_problem(await client.get(path), 404, "not_found")


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
    checks = {"database": refused, "broker": hangs, "objectStore": _fine}
    app = create_app(service="sample", settings=ServiceSettings(), lifespan=_nothing_to_open, checks=checks)
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

    app = create_app(
        service="sample", settings=ServiceSettings(), lifespan=_nothing_to_open, checks={"database": check}
    )
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
    assert _assert_problem(answer, 413, "too_large")["limit"] == http.BODY_LIMIT
    assert answer.headers["x-request-id"]


async def test_a_body_of_unstated_length_is_bounded_too(client: httpx.AsyncClient) -> None:
    sent: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(160):  # 10 MB
            sent.append(1)
            yield b"x" * 65_536

    _assert_problem(await client.post("/v1/orders", content=endless()), 413, "too_large")
    assert len(sent) <= 3


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity", "x"])
async def test_an_encoded_body_is_refused(client: httpx.AsyncClient, encoding: str) -> None:
    packed = gzip.compress(json.dumps({"preset_key": "a"}).encode())
    _assert_problem(
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
