"""Owns the claims about `/v1`: what is passed on unchanged, what the gateway reads itself."""

import asyncio
import uuid
from pathlib import Path

import httpx
import orjson

from libs.common.database import Database
from libs.common.lifecycle import lock_run, move_segment
from tests.integration.gateway import world
from tests.integration.gateway.world import bearer, make_run, tell, token


async def test_a_run_is_created_by_create_with_the_users_own_words(
    edge: httpx.AsyncClient, behind: world.Peer, user: uuid.UUID
) -> None:
    behind.will("POST", "/runs", 201, {"runId": "r", "brief": "b"})
    body = b'{"presetKey":"panique-anxiete",  "sudsStart": 8}'
    headers = bearer(user) | {"idempotency-key": "k-1", "content-type": "application/json", "cookie": "a=b"}
    answer = await edge.post("/v1/runs", content=body, headers=headers | {"x-internal-secret": "guess"})
    assert (answer.status_code, answer.json()) == (201, {"runId": "r", "brief": "b"})
    (heard,) = behind.heard
    assert (heard.path, heard.body, heard.query) == ("/runs", body, "")
    assert heard.headers["authorization"] == headers["authorization"]
    assert heard.headers["idempotency-key"] == "k-1"
    assert heard.headers["x-request-id"] == answer.headers["x-request-id"]
    assert {"cookie", "x-internal-secret"} & heard.headers.keys() == set()


async def test_the_problems_of_a_service_behind_come_back_unchanged(
    edge: httpx.AsyncClient, behind: world.Peer, user: uuid.UUID
) -> None:
    problem = {"type": "urn:x", "title": "t", "status": 429, "code": "too_many_runs", "allowed": ["a"]}
    behind.will("POST", "/runs", 429, problem, content_type="application/problem+json", retry_after="17")
    answer = await edge.post("/v1/runs", json={"presetKey": "x"}, headers=bearer(user))
    assert (answer.status_code, answer.json()) == (429, problem)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "17"


async def test_a_service_that_is_away_is_a_503_that_names_no_host(
    shared_database: str, objects: Path, user: uuid.UUID
) -> None:
    async with world.gateway(world.settings(shared_database, None, objects)) as edge:
        for method, path in (
            ("POST", "/v1/runs"),
            ("GET", "/v1/presets"),
            ("POST", f"/v1/runs/{uuid.uuid4()}/resume"),
            ("POST", f"/v1/segments/{uuid.uuid4()}/sign"),
            ("POST", "/functions/v1/parcours-xl-runner"),
            ("POST", "/functions/v1/parcours-xl-callback?segment=a&token=b"),
        ):
            answer = await edge.request(method, path, json={}, headers=bearer(user))
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), path
            assert int(answer.headers["retry-after"]) > 0
            assert "127.0.0.1" not in answer.text


async def test_a_service_that_hangs_is_a_503(shared_database: str, objects: Path) -> None:
    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2)
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    behind = world.Peer(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with (
        server,
        world.gateway(world.settings(shared_database, behind, objects, peer_timeout_seconds=0.2)) as edge,
    ):
        assert (await edge.get("/v1/presets")).status_code == 503


async def test_presets_resume_and_sign_go_to_their_services(
    edge: httpx.AsyncClient, behind: world.Peer, user: uuid.UUID
) -> None:
    run, segment = uuid.uuid4(), uuid.uuid4()
    behind.will("GET", "/presets", 200, {"presets": []}, cache_control="max-age=60")
    behind.will("POST", f"/runs/{run}/resume", 200, {"ok": True, "status": "creating"})
    behind.will("POST", "/sign-track", 409, {"code": "not_complete"}, content_type="application/problem+json")
    presets = await edge.get("/v1/presets")
    assert (presets.status_code, presets.headers["cache-control"]) == (200, "max-age=60")
    assert (await edge.post(f"/v1/runs/{run}/resume", headers=bearer(user))).json()["status"] == "creating"
    signed = await edge.post(f"/v1/segments/{segment}/sign", headers=bearer(user))
    assert (signed.status_code, signed.json()["code"]) == (409, "not_complete")
    assert orjson.loads(behind.heard[-1].body) == {"segmentId": str(segment)}
    assert behind.heard[-1].headers["authorization"] == f"Bearer {token(user)}"


async def test_own_runs_come_in_pages_newest_first_without_gaps_or_repeats(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    made = [(await make_run(store, user, segments=1)).id for _ in range(7)]
    await make_run(store, uuid.uuid4())
    async with store.connection() as connection:  # two of one moment
        await connection.execute("UPDATE parcours_runs SET created_at = '2026-01-01' WHERE id = ANY($1)", made[:2])
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await edge.get("/v1/runs", params=query, headers=bearer(user))).json()
        seen += [run["id"] for run in page["runs"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen[:5] == [str(id_) for id_ in reversed(made[2:])]
    assert sorted(seen) == sorted(map(str, made))


async def test_a_cursor_of_ones_own_making_is_refused(edge: httpx.AsyncClient, user: uuid.UUID) -> None:
    for cursor in ("x", "e30", "MjAyNi0wMS0wMSB4", "é", "a" * 150):
        answer = await edge.get("/v1/runs", params={"cursor": cursor}, headers=bearer(user))
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_cursor")
    assert (await edge.get("/v1/runs", params={"limit": "0"}, headers=bearer(user))).status_code == 422


async def test_a_run_is_read_with_what_its_listener_needs(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    first, second = run.segments
    key = f"runs/{run.id}/{second}.mp3"
    async with store.transaction() as connection:
        await lock_run(connection, run.id)
        created = await connection.fetchval("SELECT created_at FROM parcours_runs WHERE id = $1", run.id)
        stamp = created.replace(microsecond=0).isoformat()
        notes = {"preview_path": f"previews/{first}-1.mp3", "preview_offset_ms": 25.0, "same_take": True}
        await move_segment(
            connection, first, "first", preview_url="https://p/x", once={"first_received_at": stamp}, notes=notes
        )
        mark = {"music": "true", "system": "suno chirp-v5", "voice": None}
        made = {"sha256": "ab" * 32, "ai": mark, "peaks": [7] * 600}
        await move_segment(connection, second, "complete", storage_path=key, duration_seconds=605, notes=made)
    answer = await edge.get(f"/v1/runs/{run.id}", headers=bearer(user))
    assert answer.headers["cache-control"] == "no-store"
    seen = answer.json()
    assert (seen["seed"], seen["totalSeconds"], seen["sudsStart"], seen["ttfpSeconds"]) == (7, 1200, 8, 0)
    assert seen["progress"] == {"segments": 2, "playable": 2, "complete": 1, "failed": 0, "fraction": 0.5}
    one, two = seen["segments"]
    assert one["previewUrl"].startswith("https://parcours.example/media/parcours-tracks/previews/")
    assert (one["finalUrl"], one["preview_offset_ms"], one["same_take"]) == (None, 25.0, True)
    assert (two["previewUrl"], two["startSeconds"], two["fileSeconds"]) == (None, 600, 605)
    assert two["finalUrl"].startswith(f"https://parcours.example/media/parcours-tracks/{key}?token=k1.")
    assert (two["sha256"], two["ai"]) == (made["sha256"], made["ai"])
    assert "https://p/x" not in answer.text  # the provider's own address
    assert "peaks" not in answer.text  # asked for when they are drawn


async def test_what_is_drawn_of_a_file_is_told_to_its_owner_alone(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    waiting, stored = run.segments
    part = {"source": "provider", "take": 1, "from_seconds": 0.0, "to_seconds": 605.0}
    window = {"from_seconds": 0.25, "seconds": 12.0, "lag_ms": 25.057, "peak": 0.998}
    row = {"check": "silence", "finding": "drop_db", "stage": "raw", "value": 2.5, "limit": 15, "passed": True}
    notes = {
        "sha256": "ab" * 32,
        "duration_ms": 605_000,
        "parts": [part],
        "peaks": [0, 41, 100],
        "preview_compared": {"path": f"previews/{stored}-1.mp3", "windows": [window]},
        "measures": {"lufs": -16.0},
        "gate": [row | {"mode": "enforce"}],
        "narration": {"state": "spoken", "gate": [row | {"check": "voice_margin", "stage": "mix", "mode": "enforce"}]},
        "gate_verdict": "passed",
        "original_url": "https://p/x",
    }
    async with store.transaction() as connection:
        await lock_run(connection, run.id)
        await move_segment(connection, stored, "complete", storage_path="runs/x", duration_seconds=605, notes=notes)
    answer = await edge.get(f"/v1/segments/{stored}", headers=bearer(user))
    seen = answer.json()
    assert (seen["runId"], seen["index"], seen["sha256"], seen["durationMs"]) == (str(run.id), 1, "ab" * 32, 605_000)
    assert (seen["peaks"], seen["parts"][0]["toSeconds"]) == ([0, 41, 100], 605.0)
    assert seen["previewWindows"] == [{"fromSeconds": 0.25, "seconds": 12.0, "lagMs": 25.057, "peak": 0.998}]
    assert (seen["gate"][0]["value"], seen["gateVerdict"], seen["measures"]) == (2.5, "passed", {"lufs": -16.0})
    assert [each["stage"] for each in seen["gate"]] == ["raw", "mix"]  # and what a voice makes of it
    assert not [word for word in ("https://p/x", "previews/") if word in answer.text]

    empty = (await edge.get(f"/v1/segments/{waiting}", headers=bearer(user))).json()
    assert (empty["peaks"], empty["gate"], empty["sha256"], empty["measures"]) == ([], [], None, {})
    operator, stranger = token(uuid.uuid4(), "operator"), token(uuid.uuid4())
    statuses = [
        (await edge.get(f"/v1/segments/{one}", headers={"authorization": f"Bearer {who}"})).status_code
        for one, who in ((stored, operator), (stored, stranger), (uuid.uuid4(), stranger))
    ]
    assert statuses == [403, 403, 404]


async def test_the_log_tells_status_changes_and_attempts_in_codes_alone(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    async with store.transaction() as connection:
        await lock_run(connection, run.id)
        await move_segment(connection, run.segments[0], "generating")
        await connection.execute(
            "INSERT INTO segment_attempts (segment_id, user_id, attempt_no, provider, account, slot_no, token_sha256,"
            " rank, submitted_at, finished_at, error_code, error_message, provider_task_id, cost, facts)"
            " VALUES ($1, $2, 1, 'suno', 'suno-1', 1, 'x', 4, clock_timestamp(), clock_timestamp(), 'bad', 'a text',"
            ' \'task-9\', 12, \'{"takes": [{"url": "https://secret.example"}]}\')',
            run.segments[0],
            user,
        )
    await tell(store, run)
    answer = await edge.get(f"/v1/runs/{run.id}/log", headers=bearer(user))
    entries = answer.json()["entries"]
    told = [(entry["kind"], entry["event"], entry["segmentIndex"]) for entry in entries]
    assert told == [
        *[("status", "queued", 0), ("status", "queued", 1), ("status", "generating", 0)],
        *[("attempt", "dispatched", 0), ("attempt", "submitted", 0), ("attempt", "finished", 0)],
    ]
    assert (entries[-1]["errorCode"], entries[-1]["provider"], entries[2]["by"]) == ("bad", "suno", "runner")
    assert (entries[-1]["providerTaskId"], entries[-1]["cost"], entries[-1]["attempt"]) == ("task-9", 12, 1)
    assert entries[-1]["notes"] == [
        "its reply was never read: a callback with its token adopted the task",
        "failed at the provider (bad)",
    ]
    assert "secret.example" not in answer.text
    assert "a text" not in answer.text
    assert "Title" not in answer.text


async def test_what_a_providers_account_holds_is_told_to_operators_alone(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    async with store.connection() as connection:
        await connection.execute(
            "INSERT INTO segment_attempts (segment_id, user_id, attempt_no, provider, account, slot_no, token_sha256,"
            " rank, gave_up_rank, facts) VALUES ($1, $2, 1, 'suno', 'suno-1', 1, 'x', 1, 1, $3)",
            run.segments[0],
            user,
            {"possible_double_charge": True, "credits_before": 4711, "credits_when_resent": 4699},
        )
    path = f"/v1/runs/{run.id}/log"
    own = await edge.get(path, headers=bearer(user))
    assert "double charge possible" in own.text
    assert "4711" not in own.text
    assert "(credits before 4711, resent 4699)" in (await edge.get(path, headers=bearer(uuid.uuid4(), "operator"))).text
