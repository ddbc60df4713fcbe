"""Owns the claims about who may do what: hostile tokens and ids on every route, owners, operators, the rollout."""

import uuid
from pathlib import Path

import asyncpg
import httpx
import jwt
import pytest

from libs.common.database import Database, open_database
from tests.integration.gateway import world
from tests.integration.gateway.wire import wired
from tests.integration.gateway.world import ANON_KEY, SECRET, SERVICE_KEY, Run, bearer, make_run

ID = "{id}"
USER_ROUTES = (
    ("POST", "/v1/runs"),
    ("GET", "/v1/runs"),
    ("GET", f"/v1/runs/{ID}"),
    ("GET", f"/v1/runs/{ID}/events"),
    ("GET", f"/v1/runs/{ID}/log"),
    ("GET", f"/v1/runs/{ID}/arc"),
    ("POST", f"/v1/runs/{ID}/resume"),
    ("POST", f"/v1/segments/{ID}/sign"),
    ("POST", "/functions/v1/parcours-xl-create"),
    ("GET", "/functions/v1/parcours-xl-runner/logs"),
    ("POST", "/functions/v1/sign-track"),
)
ID_ROUTES = tuple(route for route in USER_ROUTES if ID in route[1])
OWN_ROUTES = tuple(f"/v1/runs/{ID}{part}" for part in ("", "/events", "/log", "/arc"))
BODY = {"segmentId": str(uuid.uuid4())}  # well formed, for the route that reads it before the user

CLAIMS = {"sub": str(uuid.uuid4()), "aud": "authenticated", "role": "authenticated", "exp": 4_000_000_000}


def _signed(key: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return jwt.encode(claims, key if algorithm != "none" else "", algorithm=algorithm)


HOSTILE = {
    "none given": None,
    "not a bearer": "Basic dXNlcjpwYXNz",
    "empty": "Bearer",
    "garbage": "Bearer x.y.z",
    "long": "Bearer " + "a" * 9000,
    "another secret": "Bearer " + _signed("another-secret-that-is-long-enough-to-be-one"),
    "alg none": "Bearer " + _signed(algorithm="none"),
    "HS512": "Bearer " + _signed(SECRET * 2, "HS512"),
    "expired": "Bearer " + _signed(exp=1_000_000_000),
    "no exp": "Bearer " + _signed(exp=None),
    "wrong audience": "Bearer " + _signed(aud="anon"),
    "sub no uuid": "Bearer " + _signed(sub="' OR 1=1 --"),
    "no sub": "Bearer " + _signed(sub=None),
    "anon token": "Bearer " + _signed(role="anon", sub=None, aud=None),
    "service token": "Bearer " + _signed(role="service_role", sub=None, aud=None),
    "anon key": f"Bearer {ANON_KEY}",
    "service key": f"Bearer {SERVICE_KEY}",
}


async def test_a_bearer_that_is_no_user_is_401_on_every_route(edge: httpx.AsyncClient, behind: world.Peer) -> None:
    for name, value in HOSTILE.items():
        headers = {} if value is None else {"authorization": value}
        for method, path in USER_ROUTES:
            answer = await edge.request(method, path.replace(ID, str(uuid.uuid4())), headers=headers, json=BODY)
            assert answer.status_code == 401, (name, method, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["code"] in {"unauthenticated", "token_invalid", "token_expired"}
    assert not behind.heard


MALFORMED = (
    *("x", "1", "null", "%00", "%2e%2e", "a" * 300, "'%20OR%201=1", "{%7D"),
    *(str(uuid.UUID(int=1))[:-1], uuid.UUID(int=1).hex, f"%7B{uuid.UUID(int=1)}%7D"),
)


async def test_a_malformed_id_is_400_for_everybody(
    edge: httpx.AsyncClient, behind: world.Peer, user: uuid.UUID
) -> None:
    for malformed in MALFORMED:
        for headers in ({}, bearer(user)):
            for method, path in ID_ROUTES:
                answer = await edge.request(method, path.replace(ID, malformed), headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (400, "malformed_id"), (method, path, malformed)
                assert malformed not in answer.text or len(malformed) < 3
            answer = await edge.post("/functions/v1/sign-track", json={"segmentId": malformed}, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed_id")
    assert not behind.heard


async def test_an_unknown_run_is_404_and_anothers_is_403_whatever_its_state(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    for status in ("creating", "ready", "failed"):
        run = await make_run(store, uuid.uuid4(), status=status)
        for path in OWN_ROUTES:
            unknown = await edge.get(path.replace(ID, str(uuid.uuid4())), headers=bearer(user))
            anothers = await edge.get(path.replace(ID, str(run.id)), headers=bearer(user))
            assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
            assert (anothers.status_code, anothers.json()["code"]) == (403, "forbidden")
            assert "brief" not in anothers.text


async def test_an_operator_reads_state_and_log_of_any_run_without_the_person_in_it(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    await _finish(store, run)
    operator = bearer(uuid.uuid4(), "operator")
    seen = (await edge.get(f"/v1/runs/{run.id}", headers=operator)).json()
    own = (await edge.get(f"/v1/runs/{run.id}", headers=bearer(user))).json()
    assert own["emotionState"] == "fear-0.8"
    assert own["segments"][0]["finalUrl"]
    for hidden in ("emotionState", "sudsStart", "sudsMid", "sudsEnd", "brief"):
        assert seen[hidden] is None
    for segment in seen["segments"]:
        assert (segment["title"], segment["previewUrl"], segment["finalUrl"]) == (None, None, None)
    assert seen["segments"][0]["status"] == "complete"
    assert (await edge.get(f"/v1/runs/{run.id}/log", headers=operator)).status_code == 200
    for hidden in ("events", "arc"):  # the planned curve would tell emotion and SUDS
        assert (await edge.get(f"/v1/runs/{run.id}/{hidden}", headers=operator)).status_code == 403
    assert (await edge.get("/v1/runs", headers=operator)).json()["runs"] == []


@pytest.mark.parametrize("role", ["clinician", "partner", "admin", "Operator"])
async def test_no_other_role_opens_anothers_run(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID, role: str
) -> None:
    run = await make_run(store, user)
    answer = await edge.get(f"/v1/runs/{run.id}", headers=bearer(uuid.uuid4(), role))
    assert answer.status_code == 403


async def test_whoever_comes_in_is_in_users_and_its_view(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    for _ in range(3):
        assert (await edge.get("/v1/runs", headers=bearer(user))).status_code == 200
    async with store.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM auth.users WHERE id = $1", user) == 1


async def test_outside_the_rollout_making_is_403_but_an_operators_list_wins(
    database: str, objects: Path, behind: world.Peer, user: uuid.UUID
) -> None:
    behind.will("POST", "/runs", 201, {"runId": "x"})
    async with (
        world.gateway(world.settings(database, behind, objects)) as edge,
        open_database(database, "runner", min_size=1) as own,
        own.connection() as connection,
    ):
        run = await make_run(own, user)
        await connection.execute("UPDATE rollout SET percent = 0 WHERE name = 'parcours_xl'")
        await connection.execute("INSERT INTO feature_flags VALUES ($1, false)", user)
        for path in ("/v1/runs", "/functions/v1/parcours-xl-create", f"/v1/runs/{run.id}/resume"):
            answer = await edge.post(path, json={"presetKey": "panique-anxiete"}, headers=bearer(user))
            assert (answer.status_code, answer.json()["code"]) == (403, "feature_disabled")
        assert not behind.heard
        assert (await edge.get(f"/v1/runs/{run.id}", headers=bearer(user))).status_code == 200  # what was made stays
        await connection.execute("UPDATE feature_flags SET parcours_xl_enabled = true WHERE user_id = $1", user)
        assert (await edge.post("/v1/runs", json={}, headers=bearer(user))).status_code == 201
        await connection.execute("UPDATE rollout SET percent = 100 WHERE name = 'canary'")
        guess = bearer(user) | {"x-track": "stable"}
        assert (await edge.post("/v1/runs", json={}, headers=guess)).status_code == 201
        assert [heard.headers["x-track"] for heard in behind.heard] == ["stable", "canary"]
        await connection.execute("DELETE FROM feature_flags")
        await connection.execute("DELETE FROM rollout")  # a missing row is 0 %
        assert (await edge.post("/v1/runs", json={}, headers=bearer(user))).status_code == 403


async def test_the_rollouts_buckets_are_those_of_postgresql(store: Database) -> None:
    from services.gateway.domain.rollout import bucket  # noqa: PLC0415 - the only pure part under test here

    users = [uuid.uuid4() for _ in range(200)]
    async with store.connection() as connection:
        rows = await connection.fetch(
            "SELECT ('x' || substr(encode(sha256(convert_to($1 || ':' || u::text, 'UTF8')), 'hex'), 1, 8))"
            "::bit(32)::bigint % 100 AS bucket FROM unnest($2::uuid[]) WITH ORDINALITY AS t (u, n) ORDER BY n",
            "parcours_xl-1",
            users,
        )
    assert [row["bucket"] for row in rows] == [bucket("parcours_xl-1", user) for user in users]


async def test_an_unknown_path_and_a_wrong_method_are_problems(edge: httpx.AsyncClient) -> None:
    assert (await edge.get("/v1/nothing")).json()["code"] == "not_found"
    wrong = await edge.delete("/v1/runs")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, POST"
    slash = await edge.get("/v1/runs/")
    assert (slash.status_code, slash.json()["code"]) == (404, "not_found")


async def test_an_error_of_ours_shows_nothing_of_our_inside(
    database: str, behind: world.Peer, objects: Path, user: uuid.UUID
) -> None:
    async with world.gateway(world.settings(database, behind, objects)) as edge:
        await _execute(database, "ALTER TABLE parcours_runs RENAME TO elsewhere")
        broken = await edge.get("/v1/runs", headers=bearer(user))
    assert (broken.status_code, broken.json()["code"]) == (500, "internal")
    assert "parcours_runs" not in broken.text


async def test_without_its_database_the_edge_says_503_and_when_to_come_back(
    shared_database: str, behind: world.Peer, objects: Path, user: uuid.UUID
) -> None:
    async with wired(shared_database) as wire, world.gateway(world.settings(wire.dsn, behind, objects)) as edge:
        assert (await edge.get("/v1/runs", headers=bearer(user))).status_code == 200
        await wire.cut()
        for _ in range(3):
            away = await edge.get("/v1/runs", headers=bearer(user))
            assert (away.status_code, away.json()["code"]) == (503, "unavailable")
            assert int(away.headers["retry-after"]) > 0
        report = (await edge.get("/api/v1/health")).json()
        assert (report["status"], report["checks"]["database"]["status"]) == ("degraded", "failed")
        assert (await edge.get("/livez")).status_code == 200
        await wire.mend()
        assert (await edge.get("/v1/runs", headers=bearer(user))).status_code == 200


async def _execute(dsn: str, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def _finish(store: Database, run: Run) -> None:
    async with store.transaction() as connection:
        await connection.execute(
            "UPDATE parcours_segments SET status = 'complete', callback_token = NULL, metadata = $2, "
            "storage_path = 'runs/' || run_id || '/' || id || '.mp3' WHERE run_id = $1",
            run.id,
            {"preview_path": f"previews/{run.segments[0]}-1.mp3"},
        )
