"""Owns the claims about every service's errors over HTTP: problem documents that show nothing of a caller or of us."""

import httpx
import pytest

from tests.unit.common.sample import MARKER, assert_problem


async def test_a_problem_is_its_document(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/problem")
    body = assert_problem(answer, 409, "not_ready")
    assert body == {
        "type": "urn:parcours:problem:not_ready", "title": "Not ready", "status": 409, "code": "not_ready",
        "detail": "Later.", "runId": "1",
    }  # fmt: skip
    assert answer.headers["retry-after"] == "3"


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get(f"/nowhere/{MARKER}"), 404, "not_found")


async def test_a_wrong_method_is_a_problem_that_says_which_are_right(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/v1/orders")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"


async def test_a_slash_too_many_is_an_unknown_path_and_no_redirect(client: httpx.AsyncClient) -> None:
    for answer in (await client.get("/v1/problem/"), await client.post("/v1/orders/", json={})):
        assert_problem(answer, 404, "not_found")
        assert "location" not in answer.headers


async def test_an_unhandled_error_shows_nothing_but_500(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await client.get("/v1/bug")
    body = assert_problem(answer, 500, "internal")
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
    assert_problem(answer, status, code)
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
    problem = assert_problem(await client.post("/v1/orders", json=body), 422, "invalid_request")
    errors = problem["errors"]
    assert isinstance(errors, list)
    assert (errors[0]["field"], errors[0]["code"]) == (field, kind)


@pytest.mark.parametrize("body", [f"{{{MARKER}", "", "\x00", '{"a": '])
async def test_a_body_that_is_no_json_is_malformed(client: httpx.AsyncClient, body: str) -> None:
    answer = await client.post("/v1/orders", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == (400 if body else 422)
    assert MARKER not in answer.text


async def test_a_malformed_id_is_400_and_a_refused_query_422(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get(f"/v1/orders/{MARKER}"), 400, "malformed_id")
    good = "/v1/orders/00000000-0000-4000-8000-000000000001"
    assert (await client.get(good)).status_code == 200
    assert_problem(await client.get(good, params={"limit": MARKER}), 422, "invalid_request")


async def test_the_documentation_is_off(client: httpx.AsyncClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert_problem(await client.get(path), 404, "not_found")
