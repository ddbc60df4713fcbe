"""A callback that dies before its commit has written nothing, one that dies after it everything (§4.2, row 6)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from libs.common.fault_points import EXIT_STATUS, arm
from stack.embedded.places import CHECKOUT
from stack.embedded.ports import free_port
from stack.embedded.processes import Running, start_ready
from stack.service_process import ServiceProcess
from tests.integration.callback import rows
from tests.integration.callback.rows import Attempt
from tests.integration.callback.webhooks import FRESH, SKIPPED, send

WAIT_SECONDS = 20.0


@asynccontextmanager
async def running(folder: Path, dsn: str) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    environment = {"DATABASE_URL": dsn, "FAULT_POINTS_FOLDER": str(folder), "DRAIN_SECONDS": "1"}
    process = ServiceProcess("callback", 1, free_port(), environment, CHECKOUT)
    started = await start_ready(process, folder / "callback.log")
    try:
        async with httpx.AsyncClient(base_url=process.url, timeout=WAIT_SECONDS) as client:
            yield started, client
    finally:
        started.kill()


@pytest.mark.parametrize(
    ("point", "written", "answer"), [("before_callback_commit", 0, FRESH), ("after_callback_commit", 1, SKIPPED)]
)
async def test_a_callback_killed_at_its_commit_is_told_again_and_nothing_is_lost(
    tmp_path: Path,
    database: str,
    connection: asyncpg.Connection,
    attempt: Attempt,
    point: str,
    written: int,
    answer: object,
) -> None:
    arm(tmp_path, point)
    async with running(tmp_path, database) as (service, client):
        with pytest.raises(httpx.TransportError):
            await send(client, attempt, "suno/first")
        assert await asyncio.to_thread(service.process.wait, WAIT_SECONDS) == EXIT_STATUS
    assert await connection.fetchval("SELECT count(*) FROM webhook_inbox") == written
    assert len(await rows.topics(connection)) == written
    async with running(tmp_path, database) as (_, client):
        assert await send(client, attempt, "suno/first") == answer
    assert await rows.topics(connection) == ["segment.first"]
    assert (await rows.row(connection, "segment_attempts", attempt.attempt_id))["rank"] == 3
