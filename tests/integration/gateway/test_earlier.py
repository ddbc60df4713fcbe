"""Owns the claims about the earlier paths: the same bodies, the same codes, whoever asks."""

import uuid

import httpx
import orjson
import pytest

from tests.integration.gateway import world
from tests.integration.gateway.world import ANON_KEY, SERVICE_KEY, bearer

FUNCTIONS = "/functions/v1"
PARCOURS = f"{FUNCTIONS}/parcours-xl"


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        ({"presetKey": "00-universel-reset"}, {"presetKey": "universel-reset"}),
        ({"presetKey": "01-panique-anxiete", "emotionState": "fear-0.8"}, None),
        ({"presetKey": "panique-anxiete"}, {"presetKey": "panique-anxiete"}),
        ({"presetKey": "2026"}, {"presetKey": "2026"}),
        ({"presetKey": 7}, {"presetKey": 7}),
        ([1], [1]),
    ],
)
async def test_create_takes_preset_keys_with_their_earlier_prefix(
    edge: httpx.AsyncClient, behind: world.Peer, user: uuid.UUID, sent: object, heard: object
) -> None:
    behind.will("POST", "/runs", 201, {"runId": "r", "brief": "b", "segmentsCount": 6})
    answer = await edge.post(f"{PARCOURS}-create", json=sent, headers=bearer(user))
    assert (answer.status_code, answer.json()["segmentsCount"]) == (200, 6)
    expected = heard or {"presetKey": "panique-anxiete", "emotionState": "fear-0.8"}
    assert orjson.loads(behind.heard[0].body) == expected


async def test_creates_refusals_keep_their_status(edge: httpx.AsyncClient, behind: world.Peer, user: uuid.UUID) -> None:
    for status in (400, 422, 429):
        behind.will("POST", "/runs", status, {"code": "x"}, content_type="application/problem+json")
        answer = await edge.post(f"{PARCOURS}-create", content=b"{not json", headers=bearer(user))
        assert answer.status_code == status
    assert behind.heard[0].body == b"{not json"


@pytest.mark.parametrize("authorization", [None, f"Bearer {ANON_KEY}", f"Bearer {SERVICE_KEY}", "user"])
async def test_runner_and_generate_answer_with_and_without_a_user(
    edge: httpx.AsyncClient, behind: world.Peer, user: uuid.UUID, authorization: str | None
) -> None:
    headers = bearer(user) if authorization == "user" else {}
    headers |= {"authorization": authorization} if authorization and authorization != "user" else {}
    for path, target, body in (("runner", "/runner", {"runId": "r"}), ("generate", "/generate", {"segmentId": "s"})):
        behind.will("POST", target, 200, {"ok": True})
        answer = await edge.post(f"{PARCOURS}-{path}", json=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"ok": True})
        assert orjson.loads(behind.heard[-1].body) == body
        assert behind.heard[-1].headers.get("authorization") == headers.get("authorization")
    behind.will("POST", "/runner", 403, {"code": "forbidden"})
    assert (await edge.post(f"{PARCOURS}-runner", json={}, headers=headers)).status_code == 403


async def test_runners_logs_need_a_user(edge: httpx.AsyncClient, behind: world.Peer, user: uuid.UUID) -> None:
    behind.will("GET", "/runner/logs", 200, {"logs": []})
    for headers in ({}, {"authorization": f"Bearer {ANON_KEY}"}):
        assert (await edge.get(f"{PARCOURS}-runner/logs", headers=headers)).status_code == 401
    answer = await edge.get(f"{PARCOURS}-runner/logs?limit=5", headers=bearer(user))
    assert (answer.status_code, answer.json()) == (200, {"logs": []})
    assert [heard.query for heard in behind.heard] == ["limit=5"]


@pytest.mark.parametrize("path", [f"{PARCOURS}-callback", "/callback"])
@pytest.mark.parametrize(
    ("status", "answer"),
    [(200, {"ok": True}), (200, {"ok": True, "skipped": True}), (401, {"code": "unauthenticated"})],
)
async def test_a_webhook_and_its_answer_pass_unchanged(
    edge: httpx.AsyncClient, behind: world.Peer, path: str, status: int, answer: object
) -> None:
    behind.will("POST", "/callback", status, answer)
    raw = b'{"stage" : "first",\n"streamUrl":"https://p/x.mp3"}  '
    headers = {"content-type": "application/json", "x-webhook-signature": "sig", "webhook-id": "1"}
    got = await edge.post(f"{path}?segment=abc&token=d%2Be", content=raw, headers=headers)
    assert (got.status_code, got.json()) == (status, answer)
    (heard,) = behind.heard
    assert (heard.body, heard.query) == (raw, "segment=abc&token=d%2Be")
    assert (heard.headers["x-webhook-signature"], heard.headers["webhook-id"]) == ("sig", "1")


async def test_sign_track_goes_to_the_signer_with_its_statuses(
    edge: httpx.AsyncClient, behind: world.Peer, user: uuid.UUID
) -> None:
    body = {"segmentId": str(uuid.uuid4())}
    for status in (200, 403, 404, 409):
        behind.will("POST", "/sign-track", status, {"url": "u"}, cache_control="no-store")
        answer = await edge.post(f"{FUNCTIONS}/sign-track", json=body, headers=bearer(user))
        assert (answer.status_code, answer.json(), answer.headers["cache-control"]) == (
            status,
            {"url": "u"},
            "no-store",
        )
    assert (await edge.post(f"{FUNCTIONS}/sign-track", json=body)).status_code == 401
    assert (await edge.post(f"{FUNCTIONS}/sign-track", content=b"{")).status_code == 400
