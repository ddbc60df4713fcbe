"""A job belongs to one worker at a time, for as long as that one lives, and to nobody when it leaves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest

from services.archiver.domain.failures import MayPass
from services.archiver.handlers.finals import archive_final
from services.archiver.handlers.growing import GrowingCopies
from services.archiver.handlers.tools import Tools
from services.archiver.storage import Job
from services.archiver.sweeps import BACKOFF_SECONDS, Lane
from tests.integration.archiver.conftest import Sounds
from tests.integration.archiver.web import Web
from tests.integration.archiver.world import World

FAST = 0.02  # time scale: a lease of 0.8 s


@pytest.fixture
async def lane(tools: Tools) -> AsyncIterator[Lane]:
    fast = replace(tools, time_scale=FAST)
    opened = Lane(
        "final", 1, partial(archive_final, tools=fast, copies=GrowingCopies()), database=tools.database, time_scale=FAST
    )
    yield opened
    await opened.close(10)


async def test_a_job_in_hand_is_nobody_elses_however_long_it_takes(
    lane: Lane, tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    go_on = asyncio.Semaphore(0)
    await world.delivered(segment, web.grow("/a.mp3", [sounds.song], go_on))
    assert await lane.turn()
    other = Lane(
        "final",
        1,
        partial(archive_final, tools=tools, copies=GrowingCopies()),
        database=tools.database,
        time_scale=FAST,
    )
    for _ in range(20):  # 2 s: more than two leases
        assert not await other.turn()
        await asyncio.sleep(0.1)
    go_on.release()
    await lane.close(20)
    assert (await world.segment_row(segment))["status"] == "complete"
    assert web.asked == ["/a.mp3"]


async def test_a_hand_that_is_full_takes_nothing_more(lane: Lane, world: World, web: Web) -> None:
    for _ in range(2):
        await world.delivered(await world.segment(), web.grow("/a.mp3", [b"x"], asyncio.Semaphore(0)))
    assert await lane.turn()
    assert not await lane.turn()
    await lane.close(0)


async def test_a_worker_that_leaves_gives_its_lease_back(lane: Lane, world: World, web: Web) -> None:
    await world.delivered(await world.segment(), web.grow("/a.mp3", [b"x"], asyncio.Semaphore(0)))
    assert await lane.turn()
    await lane.close(0.1)
    free = await world.connection.fetchval("SELECT lease_until < now() AND not_before < now() FROM archive_jobs")
    assert free is True


@pytest.mark.parametrize("error", [MayPass("later"), ConnectionError("gone"), ZeroDivisionError("a mistake of ours")])
async def test_whatever_a_job_raises_it_comes_back_later_and_later(
    tools: Tools, world: World, web: Web, error: Exception
) -> None:
    async def fails(_job: Job) -> None:
        raise error

    await world.delivered(await world.segment(), web.origin + "/a.mp3")
    lane = Lane("final", 1, fails, database=tools.database, time_scale=1.0)
    for base in (*BACKOFF_SECONDS, BACKOFF_SECONDS[-1]):
        assert await lane.turn()
        await lane.close(10)
        waits = await world.connection.fetchval(
            "SELECT extract(epoch FROM not_before - now())::float8 FROM archive_jobs"
        )
        assert 0.8 * base - 1 <= waits <= 1.2 * base
        await world.due_now()
