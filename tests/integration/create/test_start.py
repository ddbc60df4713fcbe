"""Starting a run through the service's own HTTP on a real database."""

import asyncio
import io
import json
import re
import uuid
from contextlib import redirect_stdout
from typing import Any

import asyncpg
import httpx
import pytest

from libs.common import logs
from libs.common.database import Database
from libs.common.identity import issue
from services.create.domain.presets import catalogue
from tests.integration.create import desk
from tests.integration.create.desk import PANIC, counts, start

MEMBERS = {
    *("runId", "brief", "segmentsCount", "status", "seed", "estimate", "segments", "notices", "contraindications"),
    *("crisisContacts", "supportFirst", "calmed"),
}
NOTHING = {"parcours_runs": 0, "parcours_segments": 0, "outbox": 0, "users": 0, "idempotency_keys": 0, "text_jobs": 0}


async def test_the_answer_is_what_the_database_holds(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    answer = await start(client, user_id, PANIC | {"seed": 42})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    told = answer.json()
    assert set(told) == MEMBERS
    assert (told["status"], told["seed"], told["segmentsCount"], told["supportFirst"]) == ("creating", 42, 6, False)
    assert [each["seconds"] for each in told["segments"]] == [130, 120, 230, 240, 240, 240]
    assert [each["fileSeconds"] for each in told["segments"]] == [135, 125, 235, 245, 245, 240]
    assert told["estimate"] == {"firstSoundSeconds": 5, "readySeconds": 120}
    assert {"fr-3114", "fr-15", "eu-112"} <= {each["id"] for each in told["crisisContacts"]}
    assert {"EPI", "HALL", "ACUTE"} <= {each["code"] for each in told["contraindications"]}
    run = await connection.fetchrow("SELECT * FROM parcours_runs")
    assert run is not None
    assert (str(run["id"]), run["user_id"], run["status"], run["track"]) == (
        told["runId"],
        user_id,
        "creating",
        "stable",
    )
    assert (run["emotion_state"], run["suds_start"], run["locale"], run["strategy"]) == ("fear-0.8", 8, "fr", "ahead")
    assert run["brief"] == told["brief"]
    assert (run["plan"]["total_seconds"], run["plan"]["seed"], run["plan"]["segments_count"]) == (1200, 42, 6)
    curve = run["plan"]["curve"]
    assert (curve["step_seconds"], {len(curve[name]) for name in ("bpm", "brightness", "lufs")}) == (15, {80})
    stored = await connection.fetch("SELECT * FROM parcours_segments ORDER BY segment_index")
    assert [(str(row["id"]), row["title"], row["plan"]["seconds"]) for row in stored] == [
        (each["id"], each["title"], each["seconds"]) for each in told["segments"]
    ]
    assert {(row["status"], row["requested_at"]) for row in stored} == {("queued", None)}


async def test_a_segment_carries_what_generator_archiver_and_runner_read(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    await start(client, user_id)
    stored = await connection.fetch("SELECT prompt, plan FROM parcours_segments ORDER BY segment_index")
    for row in stored:
        plan = row["plan"]
        assert row["prompt"] == ", ".join(plan["style_clauses"])
        assert isinstance(plan["negative_tags"], list)
        assert -16.5 <= plan["loudness_lufs"] <= -15.5
        assert {"seconds", "file_seconds", "style_weight", "weirdness", "x_parcours", "techniques"} <= set(plan)
    assert [row["plan"]["last"] for row in stored] == [False] * 5 + [True]


async def test_emotion_and_score_stand_in_their_columns_alone(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    await start(client, user_id, idempotency_key="once")
    run = dict(await connection.fetchrow("SELECT * FROM parcours_runs") or {})
    assert (run.pop("emotion_state"), run.pop("suds_start")) == ("fear-0.8", 8)
    elsewhere = [list(run.values()), await connection.fetch("SELECT * FROM parcours_segments")]
    elsewhere += [
        await connection.fetch("SELECT * FROM outbox"),
        await connection.fetch("SELECT * FROM idempotency_keys"),
    ]
    assert not re.search(r"fear|suds|emotion_state", str(elsewhere), re.IGNORECASE)
    payload = await connection.fetchval("SELECT payload FROM outbox")
    assert set(payload) == {"version", "run_id", "preset_key", "strategy", "segments_count"}


async def test_every_preset_becomes_a_run_of_18_to_24_minutes_in_both_languages(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    for preset in catalogue().presets:
        for locale in ("fr", "en-GB"):
            answer = await start(client, uuid.uuid4(), {"presetKey": preset.key, "locale": locale})
            assert answer.status_code == 201, preset.key
            assert sum(each["seconds"] for each in answer.json()["segments"]) == preset.total_seconds
    written = await counts(connection)
    assert (written["parcours_runs"], written["outbox"], written["users"]) == (40, 40, 40)
    assert await connection.fetchval("SELECT count(DISTINCT topic) FROM outbox") == 1


async def test_the_same_seed_gives_the_same_plan_and_another_score_another(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    for body in (PANIC, PANIC, PANIC | {"sudsStart": 3}, PANIC | {"emotionState": "fear-0.2"}):
        assert (await start(client, uuid.uuid4(), body | {"seed": 7})).status_code == 201
    rows = await connection.fetch("SELECT plan->>'plan_hash' AS hash FROM parcours_runs ORDER BY created_at")
    one, again, calmer, milder = (row["hash"] for row in rows)
    assert one == again
    assert len({one, calmer, milder}) == 3


async def test_runs_without_a_seed_get_one_of_their_own_which_is_told(client: httpx.AsyncClient) -> None:
    seeds = {(await start(client, uuid.uuid4())).json()["seed"] for _ in range(5)}
    assert len(seeds) == 5


async def test_the_track_is_the_gateways_choice(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    await start(client, user_id, x_track="canary")
    await start(client, user_id, x_track="nonsense")
    rows = await connection.fetch("SELECT r.track, o.headers FROM parcours_runs r JOIN outbox o ON o.key = r.id")
    assert sorted((row["track"], row["headers"]["track"]) for row in rows) == [("canary", "canary"), ("stable",) * 2]


async def test_the_presets_are_listed_for_everybody(client: httpx.AsyncClient) -> None:
    answer = await client.get("/presets")
    offered = answer.json()
    assert answer.status_code == 200
    assert [each["order"] for each in offered["presets"]] == list(range(20))
    assert {tuple(each["title"]) for each in offered["presets"]} == {("fr", "en")}
    assert {each["key"] for each in offered["styles"]} == {"piano", "bells", "strings", "drones"}
    assert set(offered["suds"]["labels"]) == {"0", "5", "10"}
    for each in offered["emotions"]:
        assert (await start(client, uuid.uuid4(), PANIC | {"emotionState": f"{each['label']}-0.5"})).status_code == 201


BAD: list[tuple[str, Any, int, str]] = [
    ("unknown preset", {"presetKey": "nope"}, 422, "preset_unknown"),
    ("a numeric prefix is the gateway's business", {"presetKey": "00-universel-reset"}, 422, "preset_unknown"),
    ("no preset", {}, 422, "preset_unknown"),
    ("preset of another type", {"presetKey": ["panique-anxiete"]}, 422, "preset_unknown"),
    ("intensity out of range", PANIC | {"emotionState": "fear-1.8"}, 422, "emotion_intensity_out_of_range"),
    ("no intensity", PANIC | {"emotionState": "fear"}, 422, "emotion_bad_format"),
    ("emotion of another type", PANIC | {"emotionState": {}}, 422, "emotion_bad_format"),
    ("emotion with a NUL", PANIC | {"emotionState": "fear-0.8\u0000"}, 422, "emotion_bad_format"),
    ("emotion of a megabyte's ambition", PANIC | {"emotionState": "a" * 60_000}, 422, "emotion_bad_format"),
    ("unknown emotion", PANIC | {"emotionState": "joyful-0.5"}, 422, "emotion_unknown_label"),
    ("SUDS 11", PANIC | {"sudsStart": 11}, 422, "suds_out_of_range"),
    ("SUDS -1", PANIC | {"sudsStart": -1}, 422, "suds_out_of_range"),
    ("SUDS as text", PANIC | {"sudsStart": "8"}, 422, "suds_out_of_range"),
    ("SUDS as fraction", PANIC | {"sudsStart": 8.0}, 422, "suds_out_of_range"),
    ("SUDS true", PANIC | {"sudsStart": True}, 422, "suds_out_of_range"),
    ("unknown style", PANIC | {"style": "metal"}, 422, "style_unknown"),
    ("style of another type", PANIC | {"style": ["piano"]}, 422, "style_unknown"),
    ("unknown arc", PANIC | {"arc": "U"}, 422, "arc_unknown"),
    ("arc of another type", PANIC | {"arc": {"auto": 1}}, 422, "arc_unknown"),
    ("unknown strategy", PANIC | {"strategy": "never"}, 422, "strategy_unknown"),
    ("narration of another type", PANIC | {"narration": "yes"}, 422, "narration_invalid"),
    ("strategy of another type", PANIC | {"strategy": 1}, 422, "strategy_unknown"),
    ("unknown language", PANIC | {"locale": "de"}, 422, "locale_unknown"),
    ("language of another type", PANIC | {"locale": 33}, 422, "locale_unknown"),
    ("negative seed", PANIC | {"seed": -1}, 422, "seed_out_of_range"),
    ("seed beyond 31 bits", PANIC | {"seed": 2**31}, 422, "seed_out_of_range"),
    ("seed as text", PANIC | {"seed": "7"}, 422, "seed_out_of_range"),
    ("an enormous seed", PANIC | {"seed": 10**300}, 422, "seed_out_of_range"),
    ("unknown field", PANIC | {"userId": "another"}, 422, "field_unknown"),
    ("a database's field", PANIC | {"plan": {"segments": []}}, 422, "field_unknown"),
    ("a list", [PANIC], 422, "invalid_request"),
    ("a text", "panique-anxiete", 422, "invalid_request"),
    ("null", None, 422, "invalid_request"),
]
RAW: list[tuple[str, bytes, int, str]] = [
    ("nothing", b"", 400, "malformed_json"),
    ("half", b'{"presetKey":', 400, "malformed_json"),
    ("not a number", b'{"presetKey":"panique-anxiete","seed":NaN}', 400, "malformed_json"),
    ("no UTF-8", b'{"presetKey":"\xff"}', 400, "malformed_json"),
    ("half a surrogate", b'{"presetKey":"\\ud800"}', 400, "malformed_json"),
    ("very deep", b"[" * 60_000, 400, "malformed_json"),
    ("10 MB", b'{"presetKey":"' + b"a" * 10_000_000 + b'"}', 413, "too_large"),
]


async def test_a_bad_field_is_refused_by_name_without_its_value(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    for name, body, status, code in BAD:
        answer = await client.post("/runs", content=json.dumps(body), headers=desk.bearer(user_id))
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (status, code), name
        assert answer.headers["content-type"] == "application/problem+json"
        assert isinstance(problem["field"], str), name
        values = [value for value in (body.values() if isinstance(body, dict) else ()) if isinstance(value, str)]
        told = str({name: value for name, value in problem.items() if not name.startswith("allowed_")})
        told = told.replace("such as fear-0.8", "")
        own = [value for value in values if value not in PANIC.values() and len(value) > 3]
        assert not [value for value in own if value in told], name
    assert await counts(connection) == NOTHING


async def test_a_body_that_is_no_json_is_refused(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    for name, body, status, code in RAW:
        answer = await client.post("/runs", content=body, headers=desk.bearer(user_id))
        assert (answer.status_code, answer.json()["code"]) == (status, code), name
    assert await counts(connection) == NOTHING


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer an-anon-key",
        "Bearer a.b.c",
        f"Bearer {issue('another-secret-of-thirty-two-bytes!!', uuid.uuid4())}",
        f"Bearer {issue(desk.JWT_SECRET, uuid.uuid4(), seconds=-60)}",
    ],
    ids=["none", "anon", "rubbish", "another secret", "expired"],
)
async def test_nobody_starts_a_run_without_being_a_user(
    client: httpx.AsyncClient, connection: asyncpg.Connection, authorization: str | None
) -> None:
    headers = {"authorization": authorization} if authorization else {}
    answer = await client.post("/runs", json=PANIC, headers=headers)
    assert answer.status_code == 401
    assert await counts(connection) == NOTHING


@pytest.mark.usefixtures("restored_logs")
async def test_logs_of_requests_hold_nothing_of_the_person(
    database: str, pool: Database, user_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(logs, "_MAX_TEXT", 10**6)
    with redirect_stdout(out):
        logs.configure("create", "debug", "0", "stable")
        async with desk.serving(pool, desk.settings_for(database)) as client:
            for body in (
                PANIC | {"emotionState": "grief-0.87", "style": "strings"},
                PANIC | {"emotionState": "canary-emotion-0.87"},
                PANIC | {"style": "canary-style"},
                PANIC | {"sudsStart": 987654},
            ):
                await start(client, user_id, body, idempotency_key=f"canary-key-{len(str(body))}")
            await client.post("/runs", json=PANIC, headers={"authorization": "Bearer canary-token"})
    told = out.getvalue()
    assert "bearer_refused" in told
    for canary in ("grief", "0.87", "canary", "987654", "strings", str(user_id)):
        assert canary not in told


async def test_a_run_is_all_there_or_not_at_all(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    await connection.execute("ALTER TABLE outbox ADD CONSTRAINT no_news CHECK (topic <> 'run.created')")
    answer = await start(client, user_id, idempotency_key="once")
    assert answer.status_code == 500
    assert await counts(connection) == NOTHING


async def test_twenty_users_at_once_get_twenty_runs(client: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    answers = await asyncio.gather(*(start(client, uuid.uuid4()) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert (await counts(connection))["parcours_segments"] == 120
