"""One stack on the stand-in, and what must hold over all of it: silent logs, streams, refusals, hostile files."""

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from libs.common.trust import authorities
from tests import stacks
from tests.stacks import Stack

TWO_OF_EACH = "gateway=2,generator=2,runner=2,archiver=2"
CANARIES = {
    "emotion label": "fear",
    "emotion in French": "peur",
    "emotion state": "emotion",
    "score": r"suds",
    "token of a callback": r"token=[0-9a-f]",
    "signed URL": r"\.mp3\?token",
    "bearer": r"eyJ[A-Za-z0-9_-]{10,}\.",
    "title": r"\"title\"",
    "brief": r"\"brief\"",
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Stack, stacks.StandIn]]:
    with stacks.stand_in(speed=20) as provider:
        settings = dict(provider.settings) | {"LOG_LEVEL": "debug"}
        with stacks.stack("--workers", TWO_OF_EACH, file_seconds=stacks.SHORT_SECONDS, **settings) as stack:
            yield stack, provider


async def test_the_logs_of_a_whole_run_hold_nothing_personal_and_no_key_to_anything(
    served: tuple[Stack, stacks.StandIn],
) -> None:
    stack, provider = served
    async with stack.listener() as client:
        created = await stacks.create(client)
        last = await stacks.ready(client, created["runId"])
        for segment in last["segments"]:
            signed = (await client.post(f"/v1/segments/{segment['id']}/sign")).json()["url"]
            assert (await client.get(signed, headers={"Range": "bytes=0-99"})).status_code == 206
        await client.post("/v1/runs", json=stacks.BODY | {"emotionState": "fear-1.8"})
    words = CANARIES | {"brief's text": created["brief"][:20], "provider's key": provider.settings["SUNO_API_KEY"]}
    words |= {f"secret {name}": value[:16] for name, value in stack.folder.secrets().items()}
    async with stack.database() as connection:
        segments = await connection.fetch("SELECT title, prompt FROM parcours_segments")
        words |= {f"title {row['title']}": row["title"] for row in segments}
    assert stacks.forbidden_in(stack.logs(), words) == {}


async def test_two_of_each_worker_at_once_make_each_segment_once(served: tuple[Stack, stacks.StandIn]) -> None:
    stack, provider = served
    async with stack.listener() as one, stack.listener(base_url=stack.address("gateway-2")) as other:
        runs = [(client, (await stacks.create(client))["runId"]) for client in (one, other)]
        for client, run_id in runs:
            await stacks.ready(client, run_id)
    async with stack.database() as connection:

        async def nothing_is_left() -> bool:  # of the other tests on this stack
            return bool(await connection.fetchval("SELECT count(*) = 0 FROM parcours_runs WHERE status <> 'ready'"))

        await stacks.until(nothing_is_left, what="every run ready")
    found = await stacks.holds(stack)
    assert found["further_attempts"] == 0
    await stacks.is_in_agreement(stack, provider)


async def test_a_reader_that_moves_to_another_gateway_misses_nothing_and_gets_nothing_twice(
    served: tuple[Stack, stacks.StandIn],
) -> None:
    stack, _provider = served
    async with stack.listener() as client:
        run_id = (await stacks.create(client))["runId"]
        addresses = [stack.address("gateway-1"), stack.address("gateway-2")]
        headers = dict(client.headers)
        seen: list[int] = []
        last_id: str | None = None
        for turn in range(40):
            events = await _some_events(addresses[turn % 2], run_id, headers, last_id, count=2)
            seen += [int(identifier) for identifier, kind, _content in events if kind != "snapshot"]
            last_id = events[-1][0] if events else last_id
            if any(kind == "run.ready" for _identifier, kind, _content in events):
                break
        await stacks.ready(client, run_id)
    assert len(seen) == len(set(seen)), "an event came twice"
    async with stack.database() as connection:
        rows = await connection.fetch("SELECT id FROM outbox WHERE key = $1::uuid ORDER BY id", run_id)
    announced = [row["id"] for row in rows]
    assert seen == [identifier for identifier in announced if identifier >= seen[0]][: len(seen)]
    assert announced[-1] == seen[-1]


async def _some_events(
    base: str, run_id: str, headers: dict[str, str], last_id: str | None, *, count: int
) -> list[tuple[str, str, Any]]:
    """Read a few events from one gateway, then hang up."""
    extra = {"Last-Event-ID": last_id} if last_id else {}
    events: list[tuple[str, str, Any]] = []
    async with (
        httpx.AsyncClient(headers=headers | extra, timeout=60.0, trust_env=False, verify=authorities()) as client,
        client.stream("GET", f"{base}/v1/runs/{run_id}/events") as answer,
    ):
        assert answer.status_code == 200
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(":")
            if name in ("id", "event", "data"):
                fields[name] = value.strip()
            elif not line and "data" in fields:
                events.append((fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"])))
                fields = {}
                if len(events) == count or events[-1][1] == "run.ready":
                    break
    return events


BAD_BODIES = [
    ({"presetKey": "unknown"}, 422),
    ({"emotionState": "fear-1.8"}, 422),
    ({"emotionState": "fear"}, 422),
    ({"emotionState": "joyful-0.5"}, 422),
    ({"sudsStart": 11}, 422),
    ({"sudsStart": "8"}, 422),
    ({"style": "metal"}, 422),
    ({"seed": -1}, 422),
    ({"strategy": "never"}, 422),
    ({"surprise": True}, 422),
]


@pytest.mark.parametrize(("change", "status"), BAD_BODIES, ids=[json.dumps(change) for change, _ in BAD_BODIES])
async def test_bad_input_gets_a_problem_document_and_writes_nothing(
    served: tuple[Stack, stacks.StandIn], change: dict[str, object], status: int
) -> None:
    stack, _provider = served
    user = uuid4()
    async with stack.listener(user) as client:
        answer = await client.post("/v1/runs", json=stacks.BODY | change)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["code"]
    async with stack.database() as connection:
        assert await connection.fetchval("SELECT count(*) FROM parcours_runs WHERE user_id = $1", user) == 0


async def test_a_body_of_10_mb_is_refused_before_it_is_read(served: tuple[Stack, stacks.StandIn]) -> None:
    stack, _provider = served
    async with stack.listener() as client:
        answer = await client.post("/v1/runs", content=b'{"presetKey": "' + b"x" * 10_000_000 + b'"}')
    assert answer.status_code == 413


async def test_only_the_owner_sees_a_run(served: tuple[Stack, stacks.StandIn]) -> None:
    stack, _provider = served
    async with stack.listener() as owner, stack.listener() as stranger:
        run_id = (await stacks.create(owner))["runId"]
        for path in ("", "/events", "/log"):
            assert (await stranger.get(f"/v1/runs/{run_id}{path}")).status_code == 403
        assert (await stranger.post(f"/v1/runs/{run_id}/resume")).status_code == 403
        assert (await stranger.get(f"/v1/runs/{uuid4()}")).status_code == 404
        assert (await stranger.get("/v1/runs/7")).status_code == 400
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, verify=authorities()) as nobody:
        assert (await nobody.get(f"/v1/runs/{run_id}")).status_code == 401


class _Hostile(http.server.BaseHTTPRequestHandler):
    """Serves what no archiver may store."""

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        if name == "redirect.mp3":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere.mp3")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "audio/mpeg")
        self.end_headers()
        chunk = b"<html>not music</html>" * 3000 if name == "page.mp3" else b"\xff\xfb\x90\x64" + bytes(65_532)
        try:
            for _ in range(1 if name == "page.mp3" else 1000):
                self.wfile.write(chunk)
        except OSError:
            return  # cut off at the cap, as it should be

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hostile)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


HOSTILE = {
    "big.mp3": "too_large",
    "page.mp3": "not_audio",
    "redirect.mp3": "url_refused",
    "http://127.0.0.1:1/private.mp3": "url_refused",
}


async def test_hostile_files_are_refused_each_for_its_reason_and_the_run_becomes_ready_all_the_same(
    hostile: str, kafka_bootstrap: str
) -> None:
    """Too big, no music, a redirect, a private address: one for each of four segments, whose next attempts are good."""
    with stacks.stand_in(speed=5) as provider:
        settings = dict(provider.settings) | {
            "PROVIDER_FILE_PRIVATE_ORIGINS": f"{provider.origin},{hostile}",
            "PROVIDERS": "suno,composer",  # what cannot be mended by asking again goes to the next provider
            "TIME_SCALE": "0.3",  # slow enough for the composer, which renders in real time
        }
        with stacks.stack(file_seconds=None, kafka=kafka_bootstrap, **settings) as stack:
            stack.shorten(segments=len(HOSTILE))
            async with stack.listener() as client, stack.database() as connection:
                run_id = (await stacks.create(client, strategy="all"))["runId"]
                announced = {}
                for index, name in enumerate(HOSTILE):
                    file = name if name.startswith("http") else f"{hostile}/{name}"
                    announced[name] = await _announce(client, connection, run_id, index, file)
                for name, segment_id in announced.items():
                    refused = partial(_failed_as, connection, segment_id, HOSTILE[name])
                    await stacks.until(refused, 60, f"{name} refused")
                await stacks.ready(client, run_id)


async def _announce(
    client: httpx.AsyncClient, connection: asyncpg.Connection, run_id: str, index: int, file: str
) -> UUID:
    """Say, with the segment's own token, that its file is finished and where."""
    find = "SELECT id, callback_token FROM parcours_segments WHERE run_id = $1::uuid AND segment_index = $2"

    async def asked() -> bool:
        row = await connection.fetchrow(find, run_id, index)
        return row is not None and row["callback_token"] is not None

    await stacks.until(asked, 30, f"segment {index} at the provider")
    row = await connection.fetchrow(find, run_id, index)
    assert row is not None
    body = {"stage": "complete", "downloadUrl": file, "duration": 130}
    answer = await client.post(f"/callback?segment={row['id']}&token={row['callback_token']}", json=body)
    assert answer.status_code == 200, answer.text
    segment_id: UUID = row["id"]
    return segment_id


async def _failed_as(connection: asyncpg.Connection, segment_id: UUID, reason: str) -> bool:
    codes = await connection.fetch("SELECT error_code FROM segment_attempts WHERE segment_id = $1", segment_id)
    return reason in {row["error_code"] for row in codes}


async def test_status_names_every_process_with_its_pid_and_state(served: tuple[Stack, stacks.StandIn]) -> None:
    stack, _provider = served
    status = await asyncio.to_thread(stack.status)
    names = {process["name"] for process in status["processes"]}
    assert {"postgres", "kafka", "gateway-1", "gateway-2", "generator-1", "composer-1"} <= names
    assert all(process["state"] == "ready" and process["pid"] for process in status["processes"])
    assert status["kafka"]["bootstrap"]
    assert status["postgres"]["dsn"].startswith("postgresql://")
