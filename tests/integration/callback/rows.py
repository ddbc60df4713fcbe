"""Rows for the tests of callback, signer and runner: runs, segments and attempts as create and generator write them."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
from fastapi import FastAPI

from libs.common.database import use_json


@dataclass(frozen=True)
class Attempt:
    run_id: uuid.UUID
    segment_id: uuid.UUID
    attempt_id: uuid.UUID
    token: uuid.UUID

    @property
    def query(self) -> dict[str, str]:
        return {"segment": str(self.segment_id), "token": str(self.token)}


async def connect(dsn: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(dsn)
    await use_json(connection)
    return connection


async def add_run(
    connection: asyncpg.Connection,
    *,
    user_id: uuid.UUID | None = None,
    strategy: str = "ahead",
    seconds: tuple[int, ...] = (240, 240, 240),
    status: str = "creating",
    age_seconds: float = 0.0,
) -> tuple[uuid.UUID, list[uuid.UUID]]:
    """A run with one queued, unrequested segment per entry of `seconds`."""
    run_id = await connection.fetchval(
        """INSERT INTO parcours_runs (user_id, preset_key, strategy, status, plan, created_at, updated_at)
        VALUES ($1, 'panique-anxiete', $2, $3, $4, now() - $5 * interval '1 s', now() - $5 * interval '1 s')
        RETURNING id""",
        user_id or uuid.uuid4(),
        strategy,
        status,
        {"total_seconds": sum(seconds), "segments_count": len(seconds)},
        age_seconds,
    )
    segments = [
        await connection.fetchval(
            "INSERT INTO parcours_segments (run_id, segment_index, plan) VALUES ($1, $2, $3) RETURNING id",
            run_id,
            index,
            {"seconds": each},
        )
        for index, each in enumerate(seconds)
    ]
    return run_id, segments


async def add_attempt(
    connection: asyncpg.Connection,
    run_id: uuid.UUID,
    segment_id: uuid.UUID,
    *,
    attempt_no: int = 1,
    rank: int = 1,
    provider: str = "suno",
) -> Attempt:
    """An attempt as the claim writes it: the token's hash beside it, its clear text on the segment."""
    token = uuid.uuid4()
    attempt_id = await connection.fetchval(
        """INSERT INTO segment_attempts
          (segment_id, user_id, attempt_no, provider, account, slot_no, token_sha256, rank)
        SELECT $1, user_id, $3, $6, $6 || '-1', 1, $4, $5 FROM parcours_runs WHERE id = $2 RETURNING id""",
        segment_id,
        run_id,
        attempt_no,
        hashlib.sha256(str(token).encode()).digest(),
        rank,
        provider,
    )
    await connection.execute(
        """UPDATE parcours_segments SET status = CASE status WHEN 'queued' THEN 'generating' ELSE status END,
        callback_token = $2, requested_at = coalesce(requested_at, now()) WHERE id = $1""",
        segment_id,
        token,
    )
    return Attempt(run_id, segment_id, attempt_id, token)


async def row(connection: asyncpg.Connection, table: str, row_id: uuid.UUID) -> dict[str, Any]:
    found = await connection.fetchrow(f"SELECT * FROM {table} WHERE id = $1", row_id)  # noqa: S608 - the tests' own words
    assert found is not None
    return dict(found)


async def everything(connection: asyncpg.Connection) -> Mapping[str, list[tuple[Any, ...]]]:
    """All rows a webhook could touch, to show that one changed nothing."""
    tables = ("parcours_runs", "parcours_segments", "segment_attempts", "webhook_inbox", "outbox", "segment_history")
    return {
        table: [tuple(each) for each in await connection.fetch(f"SELECT * FROM {table} ORDER BY id")]  # noqa: S608 - as above
        for table in tables
    }


async def topics(connection: asyncpg.Connection) -> list[str]:
    return [each["topic"] for each in await connection.fetch("SELECT topic FROM outbox ORDER BY id")]


async def until_somebody_waits(connection: asyncpg.Connection) -> None:
    """Return when somebody waits for a lock."""
    async with asyncio.timeout(20):
        while not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """The application with its lifespan open, and a client that calls it in this process."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            yield client
