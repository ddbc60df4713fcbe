"""A preview is heard as soon as 5 s of it play, kept when it ends, taken back when it breaks; it fails no attempt."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from libs.common import problems
from services.archiver import storage
from services.archiver.domain.failures import MayPass
from services.archiver.handlers import publishing
from services.archiver.handlers.growing import GrowingCopies
from services.archiver.handlers.serving import Previews
from services.archiver.handlers.tools import Tools
from services.archiver.routes import internal_routes
from tests.integration.archiver.conftest import Sounds
from tests.integration.archiver.web import Web
from tests.integration.archiver.world import Segment, World, carry, whole

PREVIEWED = "segment.previewed"
PIECE = 16_000  # bytes: a second at 128 kbit/s


def path_of(segment: Segment, attempt_no: int = 1) -> str:
    return f"previews/{segment.segment_id}-{attempt_no}.mp3"


def in_pieces(stream: bytes) -> list[bytes]:
    return [stream[start : start + PIECE] for start in range(0, len(stream), PIECE)]


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not fact():
            await asyncio.sleep(0.01)


async def shown(world: World, segment: Segment) -> object:
    return (await world.segment_row(segment))["metadata"].get("preview_path")


async def until_shown(world: World, segment: Segment, path: str | None) -> None:
    async with asyncio.timeout(20):
        while await shown(world, segment) != path:
            await asyncio.sleep(0.02)


@pytest.fixture
def copies() -> GrowingCopies:
    return GrowingCopies()


@pytest.fixture
async def inside(tools: Tools, copies: GrowingCopies) -> AsyncIterator[httpx.AsyncClient]:
    """The archiver's internal routes, in this process; ASGITransport does not stream, so readers use `Previews`."""
    app = FastAPI()
    problems.install(app)
    previews = Previews(tools, copies)
    app.include_router(internal_routes(previews, SecretStr("secret")))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://archiver") as client:
        client.headers["x-internal-secret"] = "secret"
        yield client
    await previews.close()


@pytest.mark.parametrize("store_settings", ["folder_store", "s3_store"], indirect=True)
async def test_a_preview_is_copied_and_shown(tools: Tools, world: World, web: Web, sounds: Sounds) -> None:
    segment = await world.segment()
    attempt_id = await world.first(segment, web.give("/p", sounds.stream))
    await carry(tools, "preview")
    assert await whole(tools.objects, path_of(segment)) == sounds.stream
    assert await shown(world, segment) == path_of(segment)
    ((topic, news),) = await world.news()
    assert (topic, news["preview_path"], news["attempt_id"]) == (PREVIEWED, path_of(segment), str(attempt_id))
    assert await world.jobs() == []


async def test_a_growing_preview_is_heard_before_it_ends(
    tools: Tools, world: World, web: Web, sounds: Sounds, copies: GrowingCopies
) -> None:
    segment = await world.segment()
    go_on = asyncio.Semaphore(4)
    await world.first(segment, web.grow("/p", in_pieces(sounds.stream), go_on))
    copying = asyncio.create_task(carry(tools, "preview", copies=copies))
    await until(lambda: (held := copies.find(path_of(segment))) is not None and held.size == 4 * PIECE)
    assert await shown(world, segment) is None  # 4 s are not 5

    for _ in range(3):
        go_on.release()
    await until_shown(world, segment, path_of(segment))
    assert await tools.objects.head(path_of(segment)) is None
    previews = Previews(tools, copies)
    chunks = await previews.find(segment.segment_id)
    assert chunks is not None
    read = await anext(chunks)
    assert sounds.stream.startswith(read)

    for _ in range(30):
        go_on.release()
    read += b"".join([chunk async for chunk in chunks])
    await copying
    assert read == sounds.stream == await whole(tools.objects, path_of(segment))
    assert await world.topics() == [PREVIEWED]


async def test_a_preview_that_breaks_is_taken_back_and_a_new_try_shows_it_again(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    pieces = in_pieces(sounds.stream)[:10]
    await world.first(segment, web.grow("/p", pieces, asyncio.Semaphore(100), broken=True))
    await carry(tools, "preview")
    assert await shown(world, segment) is None
    assert [payload["preview_path"] for _, payload in await world.news()] == [path_of(segment), None]
    assert [job["postponed"] for job in await world.jobs()] == [True]

    web.give("/p", sounds.stream)
    await world.due_now()
    await carry(tools, "preview")
    assert await shown(world, segment) == path_of(segment)
    assert await whole(tools.objects, path_of(segment)) == sounds.stream


@pytest.mark.parametrize("refused", ["before it is shown", "while it is shown"])
async def test_a_preview_whose_take_is_refused_is_neither_shown_nor_kept_nor_read(
    tools: Tools, world: World, web: Web, sounds: Sounds, copies: GrowingCopies, refused: str
) -> None:
    segment = await world.segment()
    go_on = asyncio.Semaphore(4 if refused == "before it is shown" else 8)
    attempt_id = await world.first(segment, web.grow("/p", in_pieces(sounds.stream), go_on))
    copying = asyncio.create_task(carry(tools, "preview", copies=copies))
    await until(lambda: (held := copies.find(path_of(segment))) is not None and held.size >= 4 * PIECE)
    if refused == "while it is shown":
        await until_shown(world, segment, path_of(segment))
    await refuse(tools, attempt_id)

    assert copies.find(path_of(segment)) is not None
    assert await Previews(tools, copies).find(segment.segment_id) is None
    for _ in range(30):
        go_on.release()
    await copying
    assert await shown(world, segment) is None
    assert await tools.objects.head(path_of(segment)) is None
    told = [payload["preview_path"] for topic, payload in await world.news() if topic == PREVIEWED]
    assert told == ([] if refused == "before it is shown" else [path_of(segment), None])
    assert await world.jobs() == []


async def refuse(tools: Tools, attempt_id: uuid.UUID) -> None:
    """Do to an attempt what giving its file up does."""
    async with tools.database.transaction() as connection:
        order = await storage.read_order(connection, attempt_id)
        assert order is not None
        await connection.execute("UPDATE segment_attempts SET rank = 5 WHERE id = $1", attempt_id)
        await storage.give_up_attempt(connection, attempt_id, "gate_silence", [])
        await publishing.replace(connection, order)


async def test_a_preview_that_stays_broken_is_replaced_by_another_attempts(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    pieces = in_pieces(sounds.stream)[:10]
    await world.first(segment, web.grow("/p", pieces, asyncio.Semaphore(100), broken=True))
    await world.attempt(segment, rank=3, facts={"preview_url": web.give("/q", sounds.stream)})
    await world.connection.execute("UPDATE archive_jobs SET tries = 4")
    await carry(tools, "preview")
    assert await shown(world, segment) == path_of(segment, 2)
    assert await world.jobs() == []


async def test_the_first_preview_that_was_shown_stays(tools: Tools, world: World, web: Web, sounds: Sounds) -> None:
    segment = await world.segment()
    await world.first(segment, web.give("/p", sounds.stream))
    await carry(tools, "preview")
    await world.first(segment, web.give("/q", sounds.stream))
    await carry(tools, "preview")
    assert await shown(world, segment) == path_of(segment)
    assert (web.asked, await world.jobs()) == (["/p"], [])


@pytest.mark.parametrize("case", ["refused host", "gone", "page", "too short"])
async def test_a_preview_that_cannot_be_had_is_no_failure(
    tools: Tools, world: World, web: Web, sounds: Sounds, case: str
) -> None:
    urls = {
        "refused host": "https://evil.example/p",
        "gone": web.origin + "/gone",
        "page": web.give("/page", b"<html>" * 20_000),
        "too short": web.give("/short", sounds.stream[: PIECE * 3]),
    }
    segment = await world.segment()
    attempt_id = await world.first(segment, urls[case])
    await carry(tools, "preview")
    assert (await world.jobs(), await world.news()) == ([], [])
    assert (await world.attempt_row(attempt_id))["alive"]
    assert await shown(world, segment) is None


async def test_a_preview_of_a_complete_segment_is_not_fetched(tools: Tools, world: World, web: Web) -> None:
    segment = await world.segment()
    await world.first(segment, web.origin + "/p")
    await world.connection.execute(
        "UPDATE parcours_segments SET status = 'complete', storage_path = 'x', callback_token = NULL"
    )
    await carry(tools, "preview")
    assert (web.asked, await world.jobs()) == ([], [])


async def test_a_copy_that_was_kept_but_never_shown_is_shown(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    attempt_id = await world.first(segment, web.give("/p", sounds.stream))
    await carry(tools, "preview")
    await world.connection.execute("UPDATE parcours_segments SET metadata = '{}'")  # as if killed in between
    await world.job(segment, attempt_id, "preview")
    await carry(tools, "preview")
    assert (await shown(world, segment), web.asked) == (path_of(segment), ["/p"])


async def test_the_inside_route_asks_for_the_secret_and_knows_what_is_shown(
    tools: Tools, world: World, web: Web, sounds: Sounds, inside: httpx.AsyncClient
) -> None:
    segment = await world.segment()
    address = f"/internal/previews/{segment.segment_id}"
    assert (await inside.get(address, headers={"x-internal-secret": "wrong"})).status_code == 401
    assert (await inside.get("/internal/previews/not-an-id")).status_code == 400
    assert (await inside.get(address)).status_code == 404  # nothing is shown
    await world.first(segment, web.give("/p", sounds.stream))
    await carry(tools, "preview")
    kept = await inside.get(address)
    assert (kept.status_code, kept.headers["content-type"], kept.content) == (200, "audio/mpeg", sounds.stream)
    of_attempts = [(await inside.get(address, params={"attempt": number})).status_code for number in (1, 2)]
    assert of_attempts == [200, 404]  # who read one that was withdrawn does not go on in another


async def test_an_archiver_that_does_not_hold_the_copy_opens_the_stream_itself(
    world: World, web: Web, sounds: Sounds, inside: httpx.AsyncClient
) -> None:
    segment = await world.segment()
    await world.first(segment, web.give("/p", sounds.stream))
    await world.connection.execute(
        "UPDATE parcours_segments SET metadata = $1", {"preview_path": path_of(segment)}
    )  # another archiver copies it and has shown it
    answer = await inside.get(f"/internal/previews/{segment.segment_id}")
    assert (answer.status_code, answer.content) == (200, sounds.stream)
    both = [inside.get(f"/internal/previews/{segment.segment_id}") for _ in range(2)]
    assert [one.content for one in await asyncio.gather(*both)] == [sounds.stream] * 2
    web.give("/p", b"", status=404)
    assert (await inside.get(f"/internal/previews/{segment.segment_id}")).status_code == 404


async def test_a_reader_is_told_to_come_again_when_there_is_no_room_for_a_copy(
    tools: Tools, copies: GrowingCopies, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    await world.first(segment, web.give("/p", sounds.stream))
    await world.connection.execute("UPDATE parcours_segments SET metadata = $1", {"preview_path": path_of(segment)})
    full = Previews(replace(tools, spool=tools.spool / "missing"), copies)
    with pytest.raises(MayPass, match="no room"):
        await asyncio.wait_for(full.find(segment.segment_id), 10)
    await full.close()
