"""The providers that sign: what they send is heard, and nobody else is in their name."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx
import orjson
import pytest
from pydantic import SecretStr

from services.callback.app import make_app
from services.callback.settings import Settings
from tests.integration.callback import rows
from tests.integration.callback.rows import Attempt
from tests.integration.callback.signing import KIE_KEY, Signers
from tests.integration.callback.webhooks import FRESH, SKIPPED, body

SECRET = {"x-internal-secret": "a-service-secret"}
FAL = {
    "request_id": "r-1",
    "gateway_request_id": "r-1",
    "status": "OK",
    "payload": {"audio": {"url": "https://f/a.mp3"}},
}
REPLICATE = {"id": "p-1", "status": "succeeded", "output": "https://replicate.delivery/a.mp3", "error": None}
KIE_RESULT = orjson.dumps(
    {"data": [{"audio_url": "https://tempfile.aiquickdraw.com/a.mp3", "duration": 181.0}]}
).decode()
KIE = {"code": 200, "msg": "success", "data": {"taskId": "k-1", "state": "success", "resultJson": KIE_RESULT}}
BODIES = {"fal": orjson.dumps(FAL), "replicate": orjson.dumps(REPLICATE), "suno": orjson.dumps(KIE)}
SIGNING = sorted(BODIES)


@pytest.fixture
async def signers(connection: asyncpg.Connection) -> Signers:
    signers = Signers()
    await signers.publish(connection)
    return signers


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        database_url=SecretStr(database),
        internal_secret=SecretStr("a-service-secret"),
        callback_simple_dialect=True,
        kie_webhook_hmac_key=SecretStr(KIE_KEY),
    )
    async with rows.serving(make_app(settings)) as client:
        yield client


async def attempt_at(connection: asyncpg.Connection, provider: str) -> Attempt:
    run_id, segments = await rows.add_run(connection)
    return await rows.add_attempt(connection, run_id, segments[0], provider=provider)


async def post(client: httpx.AsyncClient, attempt: Attempt, raw: bytes, headers: dict[str, str]) -> httpx.Response:
    return await client.post("/callback", params=attempt.query, content=raw, headers=headers)


@pytest.mark.parametrize("provider", SIGNING)
async def test_a_signed_delivery_is_heard_once(
    client: httpx.AsyncClient, connection: asyncpg.Connection, signers: Signers, provider: str
) -> None:
    attempt, raw = await attempt_at(connection, provider), BODIES[provider]
    for expected in (FRESH, SKIPPED):  # a retry is signed anew
        answer = await post(client, attempt, raw, signers.sign(provider, raw))
        assert (answer.status_code, answer.json()) == (200, expected)
    kept = await rows.row(connection, "segment_attempts", attempt.attempt_id)
    assert (kept["rank"], len(kept["facts"]["takes"])) == (5, 1)
    assert kept["facts"]["dialect"] == ("kie" if provider == "suno" else provider)
    assert await rows.topics(connection) == ["segment.delivered"]


@pytest.mark.parametrize("provider", SIGNING)
async def test_an_unsigned_forged_or_stale_webhook_is_refused_as_a_wrong_token_is(
    client: httpx.AsyncClient, connection: asyncpg.Connection, signers: Signers, provider: str
) -> None:
    attempt, raw = await attempt_at(connection, provider), BODIES[provider]
    stranger = await attempt_at(connection, provider)
    good, other = signers.sign(provider, raw), Signers(replicate=b"another's")
    changed = raw.replace(b".mp3", b".exe")
    forged = other.sign(provider, raw) if provider != "suno" else good | {"X-Webhook-Signature": "AAAA"}
    attempts = [(attempt, raw, {}), (attempt, raw, forged), (attempt, raw, signers.sign(provider, raw, age=400))]
    attempts.append((attempt, raw, signers.sign(provider, raw, age=-400)))
    if provider != "suno":  # kie.ai does not sign the body (W3): there the addresses are asked for again (W4)
        attempts.append((attempt, changed, good))
    attempts += [(attempt, raw, {name: value for name, value in good.items() if name != left}) for left in good]
    attempts += [(attempt, raw, signers.sign(each, raw)) for each in ("fal", "replicate") if each != provider]
    before = await rows.everything(connection)
    answers = [await post(client, *each) for each in attempts]
    wrong_token = Attempt(attempt.run_id, attempt.segment_id, attempt.attempt_id, stranger.token)
    answers.append(await post(client, wrong_token, raw, good))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert await rows.everything(connection) == before


@pytest.mark.parametrize(
    ("provider", "other"),
    [
        ("fal", "suno"),
        ("fal", "replicate"),
        ("replicate", "fal"),
        ("suno", "fal"),
        ("composer", "suno"),
        ("nobody", "suno"),
    ],
)
async def test_nobody_speaks_anothers_dialect(
    client: httpx.AsyncClient, connection: asyncpg.Connection, signers: Signers, provider: str, other: str
) -> None:
    attempt, raw = await attempt_at(connection, provider), BODIES[other]
    before = await rows.everything(connection)
    headers = signers.sign(other, raw) | (signers.sign(provider, raw) if provider in ("fal", "replicate") else {})
    assert (await post(client, attempt, raw, headers)).status_code == 401
    path = f"/internal/attempts/{attempt.attempt_id}/news"
    assert (await client.post(path, content=raw, headers=SECRET)).status_code == 400
    assert await rows.everything(connection) == before


async def test_the_smoke_tests_dialect_opens_no_signed_attempt(
    client: httpx.AsyncClient, connection: asyncpg.Connection, signers: Signers
) -> None:
    raw = body("simple/complete")
    attempt = await attempt_at(connection, "fal")
    assert (await post(client, attempt, raw, signers.sign("fal", raw))).status_code == 401


@pytest.mark.parametrize("provider", SIGNING)
async def test_the_generators_findings_need_no_signature(
    client: httpx.AsyncClient, connection: asyncpg.Connection, provider: str
) -> None:
    attempt = await attempt_at(connection, provider)
    path = f"/internal/attempts/{attempt.attempt_id}/news"
    assert (await client.post(path, content=BODIES[provider], headers=SECRET)).json() == FRESH
    assert (await rows.row(connection, "segment_attempts", attempt.attempt_id))["rank"] == 5


async def test_a_result_that_its_webhook_could_not_carry_is_noted_and_delivered_later(
    client: httpx.AsyncClient, connection: asyncpg.Connection, signers: Signers
) -> None:
    attempt = await attempt_at(connection, "fal")
    empty = orjson.dumps(FAL | {"payload": None, "payload_error": "could not be serialised"})
    assert (await post(client, attempt, empty, signers.sign("fal", empty))).json() == FRESH
    kept = await rows.row(connection, "segment_attempts", attempt.attempt_id)
    assert (kept["rank"], kept["alive"], kept["provider_task_id"]) == (2, True, "r-1")
    assert kept["facts"]["result_waiting"] is True
    assert await rows.topics(connection) == []
    path = f"/internal/attempts/{attempt.attempt_id}/news"
    assert (await client.post(path, content=BODIES["fal"], headers=SECRET)).json() == FRESH
    assert await rows.topics(connection) == ["segment.delivered"]


async def test_a_key_that_appears_after_the_keys_were_read_is_found_soon(
    database: str, connection: asyncpg.Connection
) -> None:
    settings = Settings(database_url=SecretStr(database), time_scale=1e-4)  # 60 s become 6 ms
    attempt, signers, raw = await attempt_at(connection, "fal"), Signers(), BODIES["fal"]
    async with rows.serving(make_app(settings)) as client:
        other = Signers()
        await other.publish(connection)
        assert (await post(client, attempt, raw, signers.sign("fal", raw))).status_code == 401
        await connection.execute("DELETE FROM provider_keys")
        await signers.publish(connection)
        async with asyncio.timeout(20):
            while (answer := await post(client, attempt, raw, signers.sign("fal", raw))).status_code == 401:
                pass
        assert answer.json() == FRESH


async def test_keys_are_not_asked_for_with_every_forged_webhook(
    client: httpx.AsyncClient, connection: asyncpg.Connection, signers: Signers
) -> None:
    attempt, raw, others = await attempt_at(connection, "fal"), BODIES["fal"], Signers()
    assert (await post(client, attempt, raw, others.sign("fal", raw))).status_code == 401
    await connection.execute("DELETE FROM provider_keys")
    await others.publish(connection)
    assert (await post(client, attempt, raw, others.sign("fal", raw))).status_code == 401
    assert (await post(client, attempt, raw, signers.sign("fal", raw))).status_code == 200


@pytest.mark.parametrize("provider", ["fal", "replicate"])
@pytest.mark.parametrize("old", [False, True])
async def test_without_keys_of_a_day_the_provider_may_come_again(
    client: httpx.AsyncClient, connection: asyncpg.Connection, provider: str, *, old: bool
) -> None:
    attempt, raw, signers = await attempt_at(connection, provider), BODIES[provider], Signers()
    if old:
        await signers.publish(connection)
        await connection.execute("UPDATE provider_keys SET fetched_at = now() - interval '25 h'")
    before = await rows.everything(connection)
    answer = await post(client, attempt, raw, signers.sign(provider, raw))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert (await post(client, attempt, raw, {})).status_code == 401
    stranger = Attempt(attempt.run_id, attempt.segment_id, attempt.attempt_id, attempt.attempt_id)
    assert (await post(client, stranger, raw, signers.sign(provider, raw))).status_code == 401
    assert await rows.everything(connection) == before


async def test_without_kies_key_its_webhooks_need_no_signature(database: str, connection: asyncpg.Connection) -> None:
    attempt = await attempt_at(connection, "suno")
    async with rows.serving(make_app(Settings(database_url=SecretStr(database)))) as client:
        assert (await post(client, attempt, BODIES["suno"], {})).json() == FRESH
