"""Every recorded shape of `contracts/` through the real door, and what it leaves behind."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from services.callback.app import make_app
from services.callback.settings import Settings
from tests.integration.callback import rows
from tests.integration.callback.signing import KIE_KEY, Signers
from tests.integration.callback.webhooks import EXAMPLES, FRESH, SKIPPED, body


@dataclass(frozen=True)
class Left:
    """The attempt's rank, the event, the error's code, how many files."""

    rank: int
    event: str | None = None
    error: str | None = None
    takes: int = 0


ACCEPTED = Left(2)
FIRST = Left(3, "segment.first")


def failed(code: str) -> Left:
    return Left(4, "segment.failed", code)


def delivered(takes: int) -> Left:
    return Left(5, "segment.delivered", takes=takes)


LEFT = {
    "suno/text_empty": ACCEPTED,
    "suno/text_items": ACCEPTED,
    "suno/first": FIRST,
    "suno/first_created_text": FIRST,
    "suno/complete": delivered(2),
    "suno/complete_created_text": delivered(2),
    "suno/error_list": failed("501"),
    "suno/error_null": failed("531"),
    "suno/error_text": failed("408"),
    "suno/failed": failed("500"),
    "simple/first": FIRST,
    "simple/complete": delivered(1),
    "simple/error": failed("provider_error"),
    "kie/generating": ACCEPTED,
    "kie/success_data": delivered(2),
    "kie/success_urls": delivered(2),
    "kie/success_null": failed("no_audio"),
    "kie/success_malformed": failed("no_audio"),
    "kie/fail": failed("501"),
    "fal/ok": delivered(1),
    "fal/ok_audio_file": delivered(1),
    "fal/ok_audio_list": delivered(1),
    "fal/ok_audios": delivered(2),
    "fal/ok_retried": delivered(1),
    "fal/ok_wav": delivered(1),
    "fal/ok_no_audio": failed("no_audio"),
    "fal/ok_payload_null": ACCEPTED,
    "fal/error_422_list": failed("422"),
    "fal/error_422_text": failed("422"),
    "fal/error_500": failed("500"),
    "fal/error_without_code": failed("provider_error"),
    "replicate/starting": ACCEPTED,
    "replicate/processing": ACCEPTED,
    "replicate/processing_with_output": ACCEPTED,
    "replicate/succeeded": delivered(1),
    "replicate/succeeded_list": delivered(1),
    "replicate/succeeded_null": failed("no_audio"),
    "replicate/data_removed": failed("no_audio"),
    "replicate/failed": failed("failed"),
    "replicate/canceled": failed("canceled"),
    "replicate/aborted": failed("aborted"),
}


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        database_url=SecretStr(database), callback_simple_dialect=True, kie_webhook_hmac_key=SecretStr(KIE_KEY)
    )
    async with rows.serving(make_app(settings)) as client:
        yield client


def test_every_recorded_shape_is_in_the_table() -> None:
    assert {path.relative_to(EXAMPLES).with_suffix("").as_posix() for path in EXAMPLES.glob("*/*.json")} == set(LEFT)


async def test_every_recorded_shape_is_heard_once_and_leaves_what_it_says(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    signers = Signers()
    await signers.publish(connection)
    for name, expected in LEFT.items():
        dialect = name.partition("/")[0]
        provider = {"kie": "suno", "simple": "composer"}.get(dialect, dialect)
        await connection.execute("TRUNCATE parcours_runs, outbox CASCADE")  # the same task ids come again
        run_id, segments = await rows.add_run(connection)
        attempt = await rows.add_attempt(connection, run_id, segments[0], provider=provider)
        headers = {} if dialect == "simple" else signers.sign(provider, body(name))
        for answered in (FRESH, SKIPPED):
            answer = await client.post("/callback", params=attempt.query, content=body(name), headers=headers)
            assert (answer.status_code, answer.json()) == (200, answered), name
        kept = await rows.row(connection, "segment_attempts", attempt.attempt_id)
        assert await rows.topics(connection) == [each for each in (expected.event,) if each], name
        found = Left(kept["rank"], expected.event, kept["error_code"], len(kept["facts"].get("takes", ())))
        assert found == expected, name
        assert (kept["provider_task_id"] is None) == (dialect == "simple"), name
        assert kept["facts"].get("result_waiting", False) == (name == "fal/ok_payload_null")
        inbox = await connection.fetch("SELECT dialect, payload FROM webhook_inbox")
        assert [(each["dialect"], each["payload"]) for each in inbox] == [(dialect, body(name))], name
