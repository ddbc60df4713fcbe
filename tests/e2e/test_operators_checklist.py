"""The four smoke tests of the operators' checklist, typed as they have them: plain curl through the earlier paths.

The provider is a stand-in that accepts and then keeps silent, as on a day without webhooks.
"""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests import stacks
from tests.stacks import Stack

STRANGER = uuid4()


@pytest.fixture(scope="module")
def silent(kafka_bootstrap: str) -> Iterator[tuple[Stack, stacks.StandIn]]:
    """A stack whose provider accepts every call and never calls back; its clocks run at their real speed."""
    with stacks.stand_in(callbacks="none", speed=1.0) as provider:
        settings = dict(provider.settings) | {"TIME_SCALE": "1"}
        with stacks.stack(file_seconds=None, kafka=kafka_bootstrap, **settings) as stack:
            yield stack, provider


def curl(*arguments: str) -> tuple[int, Any]:
    """Run curl; the status and the JSON body."""
    command = ["curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}", *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    body, _, status = said.rpartition("\n")
    return int(status), json.loads(body) if body else None


def post(stack: Stack, path: str, body: object, user: UUID | None = None) -> tuple[int, Any]:
    """POST JSON, as a user or as nobody."""
    headers = ["-H", "Content-Type: application/json"]
    if user is not None:
        headers += ["-H", f"Authorization: Bearer {stack.token(user)}"]
    return curl("-X", "POST", f"{stack.url}{path}", *headers, "-d", json.dumps(body))


async def create_run(stack: Stack, user: UUID) -> str:
    """A run through the earlier path, its first segment asked for at the provider."""
    status, created = post(
        stack, "/functions/v1/parcours-xl-create", {"presetKey": "panique-anxiete", "emotionState": "fear-0.8"}, user
    )
    assert status in (200, 201), created
    assert 5 <= created["segmentsCount"] <= 6
    async with stack.database() as connection:

        async def asked() -> bool:
            return bool((await segment(connection, created["runId"]))["callback_token"])

        await stacks.until(asked, 30, "the first segment at the provider")
    return str(created["runId"])


async def segment(connection: asyncpg.Connection, run_id: str, index: int = 0) -> asyncpg.Record:
    row = await connection.fetchrow(
        "SELECT * FROM parcours_segments WHERE run_id = $1 AND segment_index = $2", UUID(run_id), index
    )
    assert row is not None
    return row


def call_back(
    stack: Stack, row: asyncpg.Record | dict[str, UUID], body: object, token: object = None
) -> tuple[int, Any]:
    """The provider's webhook on the earlier path, with the simple body of the checklist."""
    query = f"segment={row['id']}&token={token or row['callback_token']}"
    return post(stack, f"/functions/v1/parcours-xl-callback?{query}", body)


async def test_a_and_b_first_then_complete_and_the_last_one_makes_the_run_ready(
    silent: tuple[Stack, stacks.StandIn],
) -> None:
    stack, provider = silent
    user = uuid4()  # a user may have three unfinished runs, and each test leaves one
    run_id = await create_run(stack, user)
    async with stack.database() as connection:
        count = await connection.fetchval("SELECT count(*) FROM parcours_segments WHERE run_id = $1", UUID(run_id))
        for index in range(count):

            async def asked(index: int = index) -> bool:
                return bool((await segment(connection, run_id, index))["callback_token"])

            await stacks.until(asked, 30, f"segment {index} at the provider")
            row = await segment(connection, run_id, index)
            file = f"{provider.origin}/_sim/audio/smoke-{index}.mp3?seconds=46"
            first = {"stage": "first", "streamUrl": f"{provider.origin}/_sim/audio/smoke-{index}.stream.mp3?seconds=46"}
            assert call_back(stack, row, first) == (200, {"ok": True})
            now = await segment(connection, run_id, index)
            assert (now["status"], now["preview_url"]) == ("first", first["streamUrl"])
            assert now["metadata"]["first_received_at"]
            complete = {"stage": "complete", "downloadUrl": file, "duration": 245}
            assert call_back(stack, row, complete) == (200, {"ok": True})

            async def stored(index: int = index) -> bool:
                return bool((await segment(connection, run_id, index))["status"] == "complete")

            await stacks.until(stored, 60, f"segment {index} stored")
            done = await segment(connection, run_id, index)
            assert done["storage_path"] == f"runs/{run_id}/{done['id']}.mp3"
            assert done["callback_token"] is None
            assert done["metadata"]["suno_download_url"] == file
            replays = [call_back(stack, row, body) for body in (first, complete, complete, first)]
            assert replays == [(200, {"ok": True, "skipped": True})] * 4

        async def is_ready() -> bool:
            status = await connection.fetchval("SELECT status FROM parcours_runs WHERE id = $1", UUID(run_id))
            return bool(status == "ready")

        await stacks.until(is_ready, 20, "run ready")
        await c_sign(stack, str((await segment(connection, run_id))["id"]), user)


async def c_sign(stack: Stack, segment_id: str, user: UUID) -> None:
    """C: nobody 401, a stranger 403, the owner 200 with a URL that plays."""
    path, body = "/functions/v1/sign-track", {"segmentId": segment_id}
    assert post(stack, path, body)[0] == 401
    assert post(stack, path, body, STRANGER)[0] == 403
    status, signed = post(stack, path, body, user)
    assert status == 200
    said = await asyncio.to_thread(
        subprocess.run,
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{content_type}", signed["url"]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "200 audio/mpeg"


async def test_c_signing_before_complete_is_409_and_tells_a_stranger_nothing_of_the_state(
    silent: tuple[Stack, stacks.StandIn],
) -> None:
    stack, _provider = silent
    user = uuid4()  # a user may have three unfinished runs, and each test leaves one
    run_id = await create_run(stack, user)
    async with stack.database() as connection:
        row = await segment(connection, run_id)
    body = {"segmentId": str(row["id"])}
    assert post(stack, "/functions/v1/sign-track", body, user)[0] == 409
    assert post(stack, "/functions/v1/sign-track", body, STRANGER)[0] == 403
    assert post(stack, "/functions/v1/sign-track", {"segmentId": str(uuid4())}, user)[0] == 404
    assert post(stack, "/functions/v1/sign-track", {"segmentId": "7"}, user)[0] == 400


async def test_d_replays_in_each_order_are_skipped_and_a_wrong_token_is_refused(
    silent: tuple[Stack, stacks.StandIn],
) -> None:
    stack, provider = silent
    user = uuid4()  # a user may have three unfinished runs, and each test leaves one
    run_id = await create_run(stack, user)
    async with stack.database() as connection:
        row = await segment(connection, run_id)
        complete = {
            "stage": "complete",
            "downloadUrl": f"{provider.origin}/_sim/audio/late-0.mp3?seconds=46",
            "duration": 245,
        }
        first = {"stage": "first", "streamUrl": f"{provider.origin}/_sim/audio/late-0.stream.mp3?seconds=46"}
        assert call_back(stack, row, complete)[0] == 200
        answers = [call_back(stack, row, body) for body in (complete, first, first, complete)]
        assert {status for status, _ in answers} == {200}
        assert answers[0][1] == {"ok": True, "skipped": True}
        assert answers[-1][1] == {"ok": True, "skipped": True}
        assert call_back(stack, row, first, token=uuid4())[0] == 401
        strange = {"id": uuid4(), "callback_token": uuid4()}
        assert call_back(stack, strange, first)[0] == 401

        async def stored() -> bool:
            return bool((await segment(connection, run_id))["status"] == "complete")

        await stacks.until(stored, 60, "segment stored")


async def test_the_providers_own_payloads_pass_through_the_same_endpoint(
    silent: tuple[Stack, stacks.StandIn],
) -> None:
    stack, provider = silent
    user = uuid4()  # a user may have three unfinished runs, and each test leaves one
    run_id = await create_run(stack, user)
    async with stack.database() as connection:
        row = await segment(connection, run_id)
        attempt = await connection.fetchrow(
            "SELECT * FROM segment_attempts WHERE segment_id = $1 ORDER BY attempt_no DESC LIMIT 1", row["id"]
        )
        assert attempt is not None
        item = {
            "id": "6b1d",
            "audio_url": f"{provider.origin}/_sim/audio/real-0.mp3?seconds=46",
            "stream_audio_url": f"{provider.origin}/_sim/audio/real-0.stream.mp3?seconds=46",
            "image_url": "",
            "prompt": "",
            "model_name": "chirp-x",
            "title": "Dawn",
            "tags": "",
            "createTime": 1760000000000,
            "duration": 361.0,
        }
        second = item | {"id": "7c2e", "audio_url": "", "duration": None}
        for kind, items in (("text", []), ("first", [item, second]), ("complete", [item, item | {"id": "7c2e"}])):
            data = {"callbackType": kind, "task_id": attempt["provider_task_id"], "data": items}
            status, _answer = call_back(stack, row, {"code": 200, "msg": "ok", "data": data})
            assert status == 200, kind
        after = await connection.fetchrow("SELECT rank, facts FROM segment_attempts WHERE id = $1", attempt["id"])
        assert after is not None
        assert after["rank"] >= 5
        assert after["facts"]["takes"][0]["url"] == item["audio_url"]


async def test_a_body_in_no_dialect_is_refused_and_changes_nothing(silent: tuple[Stack, stacks.StandIn]) -> None:
    stack, _provider = silent
    user = uuid4()  # a user may have three unfinished runs, and each test leaves one
    run_id = await create_run(stack, user)
    async with stack.database() as connection:
        row = await segment(connection, run_id)
        bodies: list[Any] = [
            [],
            {},
            {"stage": "later"},
            {"code": 200, "data": {"callbackType": "unknown"}},
            "x" * 70_000,
        ]
        for body in bodies:
            status, problem = call_back(stack, row, body)
            assert status == (413 if isinstance(body, str) else 400), problem
        assert (await segment(connection, run_id))["status"] == row["status"]
