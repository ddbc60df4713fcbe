"""Owns the claims about the OpenAPI document, the pages, the embedded stack's sessions, the probes and the start."""

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.app import make_app
from tests.integration.gateway import world

PAGES = ("/", "/docs", "/assets/app.js", "/assets/style.css", "/favicon.ico")


async def _document(edge: httpx.AsyncClient) -> dict[str, Any]:
    answer = await edge.get("/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def _references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(_references, node.values()))
    return set().union(*map(_references, node)) if isinstance(node, list) else set()


async def test_the_document_is_openapi_31_and_every_reference_leads_somewhere(edge: httpx.AsyncClient) -> None:
    document = await _document(edge)
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference
    assert document["components"]["securitySchemes"]["HTTPBearer"]["bearerFormat"] == "JWT"


async def test_the_document_tells_of_every_path_of_the_edge(edge: httpx.AsyncClient) -> None:
    document = await _document(edge)
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert told == {
        *(("POST", "/v1/runs"), ("GET", "/v1/runs"), ("GET", "/v1/runs/{run_id}"), ("GET", "/v1/presets")),
        *(("GET", f"/v1/runs/{{run_id}}/{part}") for part in ("events", "log", "arc")),
        ("POST", "/v1/runs/{run_id}/resume"),
        *(
            ("GET", "/v1/segments/{segment_id}"),
            ("POST", "/v1/segments/{segment_id}/sign"),
            ("GET", "/media/parcours-tracks/{key}"),
            ("POST", "/callback"),
        ),
        *(("POST", f"/functions/v1/parcours-xl-{name}") for name in ("create", "runner", "generate", "callback")),
        *(("GET", "/functions/v1/parcours-xl-runner/logs"), ("POST", "/functions/v1/sign-track")),
        *(("GET", "/api/v1/health"), ("GET", "/v1/health/providers"), ("GET", "/api/health/providers")),
    }
    ids = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))


async def test_every_refusal_is_told_as_a_problem_and_users_are_asked_for(edge: httpx.AsyncClient) -> None:
    document = await _document(edge)
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            for status, answer in told["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
            if "401" in told["responses"] and path.startswith("/v1/"):
                optional: list[dict[str, list[str]]] = [{}] if path == "/v1/health/providers" else []
                assert told["security"] == [{"HTTPBearer": []}, *optional], (method, path)


async def test_what_any_body_or_query_may_be_refused_with_is_told(edge: httpx.AsyncClient) -> None:
    document = await _document(edge)
    for path, methods in document["paths"].items():
        if "post" in methods:
            assert {"413", "415"} <= methods["post"]["responses"].keys(), path
    for path in ("/v1/runs", "/media/parcours-tracks/{key}"):
        assert "422" in document["paths"][path]["get"]["responses"], path


@pytest.mark.parametrize("path", PAGES)
async def test_pages_come_from_our_origin_alone(edge: httpx.AsyncClient, path: str) -> None:
    answer = await edge.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in answer.text
    assert " style=" not in answer.text
    again = await edge.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_with_direct_media_the_page_may_play_from_the_bucket(
    shared_database: str, behind: world.Peer, objects: Path
) -> None:
    configured = world.settings(shared_database, behind, objects, media_mode="direct", s3_endpoint="http://s3.example")
    async with world.gateway(configured) as edge:
        assert "media-src 'self' blob: http://s3.example;" in (await edge.get("/")).headers["content-security-policy"]


async def test_a_browser_of_the_embedded_stack_is_one_user_for_good(
    shared_database: str, behind: world.Peer, objects: Path
) -> None:
    configured = world.settings(shared_database, behind, objects, demo_sessions=True)
    browser = {"browser": str(uuid.uuid4())}
    async with world.gateway(configured) as edge:
        first = await edge.post("/v1/demo/session", json=browser)
        second = (await edge.post("/v1/demo/session", json=browser)).json()
        assert (first.status_code, first.headers["cache-control"]) == (200, "no-store")
        assert first.json()["userId"] == second["userId"]
        headers = {"authorization": f"Bearer {second['token']}"}
        assert (await edge.get("/v1/runs", headers=headers)).json() == {"runs": [], "nextCursor": None}
        for malformed in ({}, {"browser": "x"}, {"browser": 1}):
            assert (await edge.post("/v1/demo/session", json=malformed)).status_code == 422


async def test_elsewhere_there_are_no_such_sessions(edge: httpx.AsyncClient) -> None:
    answer = await edge.post("/v1/demo/session", json={"browser": str(uuid.uuid4())})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("cors_origins", "https://a.example,*"),
        ("trusted_proxies", "everybody"),
        ("media_signing_keys", ""),
        ("supabase_jwt_secret", "short"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_at_start(setting: str, value: str, tmp_path: Path) -> None:
    configured = world.settings("postgresql://nobody@127.0.0.1/x", None, tmp_path, **{setting: value})
    with pytest.raises(ValueError, match=setting.upper()):
        make_app(configured).build_middleware_stack()


async def test_the_probes_answer(edge: httpx.AsyncClient) -> None:
    assert (await edge.get("/livez")).json()["status"] == "ok"
    assert (await edge.get("/readyz")).json() == {"status": "ready"}
    for path in ("/health", "/api/v1/health"):
        report = (await edge.get(path)).json()
        assert report["status"] == "ok"
        assert set(report["checks"]) == {"database", "objectStore"}
