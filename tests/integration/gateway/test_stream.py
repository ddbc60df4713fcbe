"""Owns the claims about the progress stream: nothing missed, nothing twice, over any number of gateways."""

import asyncio
import contextlib
import random
import socket
import uuid
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from libs.common.database import Channel, Database
from libs.common.events import SegmentComplete, SegmentDelivered, SegmentFailed, SegmentFirst, SegmentPreviewed, Take
from libs.common.lifecycle import lock_run
from libs.common.trust import authorities
from services.gateway import progress
from services.gateway.app import make_app
from tests.integration.gateway import world
from tests.integration.gateway.wire import wired
from tests.integration.gateway.world import Run, bearer, listening, make_run, next_event, tell


@pytest.fixture(params=[progress.FEW_RUNS, 0], ids=["few-readers", "many-readers"])
def however_many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which a gateway looks for news: reading every followed run, or asking first which have some."""
    monkeypatch.setattr(progress, "FEW_RUNS", request.param)


def _first(run: Run) -> SegmentFirst:
    return SegmentFirst(run_id=run.id, segment_id=run.segments[0], attempt_id=uuid.uuid4())


async def test_a_stream_begins_with_a_snapshot_that_names_the_last_event(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    (last,) = await tell(store, run, _first(run))
    async with listening(edge, run) as reading:
        frame = await next_event(reading)
    assert (frame.event, frame.id) == ("snapshot", last)
    assert frame.data["lastEventId"] == last
    assert frame.data["id"] == str(run.id)
    assert [segment["status"] for segment in frame.data["segments"]] == ["queued", "queued"]


async def test_news_follow_at_once_with_our_addresses_and_without_the_providers(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    attempt, segment = uuid.uuid4(), run.segments[0]
    ids: dict[str, Any] = {"run_id": run.id, "segment_id": segment, "attempt_id": attempt}
    preview, final = f"previews/{segment}-1.mp3", f"runs/{run.id}/{segment}.mp3"
    async with listening(edge, run) as reading:
        await next_event(reading)
        began = asyncio.get_running_loop().time()
        sent = await tell(
            store,
            run,
            SegmentPreviewed(**ids, preview_path=preview),
            SegmentDelivered(**ids, takes=[Take(url="https://provider.example/secret.mp3", duration=60)]),
            SegmentComplete(
                **ids,
                storage_path=final,
                duration_seconds=605,
                size_bytes=9,
                sha256="0" * 64,
                preview_offset_ms=25.057,
                same_take=True,
                quiet_points_ms=[7000],
                peaks=[7] * 600,
            ),
            SegmentFailed(**ids, attempt_no=1, error_code="gate_silence", retryable=True),
            SegmentPreviewed(**ids, preview_path=None),
        )
        got = [await next_event(reading) for _ in sent]
        assert asyncio.get_running_loop().time() - began < 1
    assert [frame.id for frame in got] == sent
    assert [frame.event for frame in got] == [
        *("segment.previewed", "segment.delivered", "segment.complete", "segment.failed", "segment.previewed")
    ]
    assert got[0].data["previewUrl"].startswith(f"https://parcours.example/media/parcours-tracks/{preview}?token=k1.")
    assert got[2].data["finalUrl"].startswith(f"https://parcours.example/media/parcours-tracks/{final}?token=k1.")
    assert (got[2].data["preview_offset_ms"], got[2].data["same_take"]) == (25.057, True)  # as in the run
    assert (got[2].data["quiet_points_ms"], got[2].data.get("peaks")) == ([7000], None)
    assert got[3].data["errorCode"] == "gate_silence"
    assert got[4].data["previewUrl"] is None
    assert "provider.example" not in orjson.dumps([frame.data for frame in got]).decode()


@pytest.mark.usefixtures("however_many")
async def test_a_reader_that_changes_gateways_misses_nothing_and_gets_nothing_twice(
    shared_database: str, store: Database, behind: world.Peer, objects: Path, user: uuid.UUID
) -> None:
    run, other = await make_run(store, user), await make_run(store, uuid.uuid4())
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    configured = world.settings(shared_database, behind, objects)
    (last,) = await tell(store, run, _first(run))
    sent: list[int] = []
    got: list[int] = []

    async def announce_all() -> None:
        for _ in range(120):
            sent.extend(await tell(store, run, *[_first(run)] * dice.randint(1, 3)))
            await tell(store, other, _first(other))  # ids of another run lie between
            await asyncio.sleep(dice.random() * 0.01)

    async with world.gateway(configured) as one, world.gateway(configured) as two:
        writing = asyncio.create_task(announce_all())
        gateways = [one, two]
        while not writing.done() or got[-1:] != sent[-1:]:
            async with listening(gateways[0], run, last=last) as reading:
                with contextlib.suppress(TimeoutError):  # when there is nothing new, change too
                    for _ in range(dice.randint(1, 12)):
                        frame = await next_event(reading, seconds=0.5)
                        assert frame.event == "segment.first", f"a known id was not resumed (seed {seed})"
                        assert frame.id is not None
                        got.append(frame.id)
                        last = frame.id
            gateways.reverse()
        await writing
    assert got == sent, f"seed {seed}"


@pytest.mark.usefixtures("however_many")
async def test_two_gateways_tell_every_reader_everything(
    shared_database: str, store: Database, behind: world.Peer, objects: Path, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    configured = world.settings(shared_database, behind, objects)
    async with (
        world.gateway(configured) as one,
        world.gateway(configured) as two,
        listening(one, run) as first,
        listening(one, run) as second,
        listening(two, run) as third,
    ):
        for reading in (first, second, third):
            assert (await next_event(reading)).event == "snapshot"
        sent = [id_ for _ in range(5) for id_ in await tell(store, run, _first(run))]
        for reading in (first, second, third):
            assert [(await next_event(reading)).id for _ in sent] == sent


@pytest.mark.parametrize("last", ["0", "999999999", "x", "-1", "9" * 30, "other's"])
async def test_an_id_that_is_not_of_this_run_gets_the_snapshot(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID, last: str
) -> None:
    run, other = await make_run(store, user), await make_run(store, uuid.uuid4())
    (own,) = await tell(store, run, _first(run))
    (foreign,) = await tell(store, other, _first(other))
    async with listening(edge, run, last=foreign if last == "other's" else last) as reading:
        frame = await next_event(reading)
    assert (frame.event, frame.id) == ("snapshot", own)


async def test_an_id_whose_row_was_pruned_gets_the_snapshot(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    pruned, kept = await tell(store, run, _first(run), _first(run))
    async with store.transaction() as connection:
        await connection.execute("DELETE FROM outbox WHERE id = $1", pruned)
    async with listening(edge, run, last=pruned) as reading:
        frame = await next_event(reading)
    assert (frame.event, frame.id) == ("snapshot", kept)


@pytest.mark.usefixtures("however_many")
async def test_a_row_that_commits_after_a_later_one_of_another_run_is_not_missed(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run, other = await make_run(store, user), await make_run(store, uuid.uuid4())
    async with listening(edge, run) as reading, listening(edge, Run(other.id, other.user, [])) as elsewhere:
        await next_event(reading)
        await next_event(elsewhere)
        async with store.transaction(Channel.OUTBOX) as slow:
            await lock_run(slow, run.id)
            held = await slow.fetchval(
                "INSERT INTO outbox (topic, key, payload) VALUES ('segment.first', $1, $2) RETURNING id",
                run.id,
                {"run_id": str(run.id)},
            )
            (later,) = await tell(store, other, _first(other))
            assert later > held
            assert (await next_event(elsewhere)).id == later
        assert (await next_event(reading)).id == held


async def test_a_reader_that_falls_behind_gets_a_snapshot_instead_of_what_was_dropped(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # little fits into the connection itself
    reader.connect((edge.base_url.host, edge.base_url.port))
    request = (
        f"GET /v1/runs/{run.id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer(user)['authorization']}\r\n\r\n"
    )
    reader.sendall(request.encode())
    reader.setblocking(False)
    loop = asyncio.get_running_loop()
    received = await loop.sock_recv(reader, 200)
    sent: list[int] = []
    for _ in range(40):  # far more than the sockets' buffers hold, in far more turns than the queue
        events = [SegmentFailed(**_ids(run), attempt_no=1, error_code="x" * 64, retryable=True)] * 500
        sent += await tell(store, run, *events)
    await asyncio.sleep(1.5)  # a sweep: the feed has offered all of them
    while f"id: {sent[-1]}\n".encode() not in received:
        async with asyncio.timeout(10):
            received += await loop.sock_recv(reader, 65536)
    reader.close()
    text = received.decode()
    got = [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]
    assert text.count("event: snapshot") >= 2, "the reader was never told that it fell behind"
    assert got == sorted(set(got)), "ids repeat or go back"
    assert len(got) < len(sent)


def _ids(run: Run) -> dict[str, Any]:
    return {"run_id": run.id, "segment_id": run.segments[0], "attempt_id": uuid.uuid4()}


async def test_news_announced_while_the_database_was_away_come_when_it_is_back(
    shared_database: str, store: Database, behind: world.Peer, objects: Path, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    async with (
        wired(shared_database) as wire,
        world.gateway(world.settings(wire.dsn, behind, objects)) as edge,
        listening(edge, run) as reading,
    ):
        await next_event(reading)
        await wire.cut()
        sent = await tell(store, run, _first(run), _first(run))
        await wire.mend()
        assert [(await next_event(reading, seconds=10)).id for _ in sent] == sent


async def test_a_silent_stream_has_a_heartbeat(
    shared_database: str, store: Database, behind: world.Peer, objects: Path, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    configured = world.settings(shared_database, behind, objects, stream_heartbeat_seconds=0.05)
    async with world.gateway(configured) as edge, listening(edge, run) as reading:
        await next_event(reading)
        async with asyncio.timeout(2):
            assert [(await anext(reading)).event for _ in range(3)] == ["", "", ""]


async def test_a_gateway_that_leaves_says_when_to_come_back(
    shared_database: str, store: Database, behind: world.Peer, objects: Path, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    app = make_app(world.settings(shared_database, behind, objects))
    async with (
        world.serving(app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, verify=authorities()) as edge,
        listening(edge, run) as reading,
    ):
        await next_event(reading)
        app.state.readiness.draining.set()
        frame = await next_event(reading)
        assert frame.retry is not None
        assert 1000 <= frame.retry <= 5000
        with pytest.raises(StopAsyncIteration):
            await anext(reading)


async def test_readers_that_go_leave_nothing_behind(
    shared_database: str, store: Database, behind: world.Peer, objects: Path, user: uuid.UUID
) -> None:
    run = await make_run(store, user)
    app = make_app(world.settings(shared_database, behind, objects))
    async with (
        world.serving(app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, verify=authorities()) as edge,
    ):
        for _ in range(5):
            async with listening(edge, run) as reading:
                await next_event(reading)
        async with asyncio.timeout(2):
            while app.state.parts.feed._followed:
                await asyncio.sleep(0.01)
