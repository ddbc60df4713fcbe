"""Claims about two generator processes and one window of any kind: no call too many, kill -9 included.

The judge is the simulator's own ledger: it stamps each call in the middle of a random reply delay and counts there.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import asyncpg
import pytest

from libs.common.database import Channel, Database, open_database
from stack.embedded.ports import free_port
from stack.simulators.suno.app import Simulator, serving
from stack.simulators.suno.settings import Settings
from tests.integration.generator.rig import PLAN, SCALE, SECRET, until, value

ROOT = Path(__file__).resolve().parents[3]
BACKLOG = 100  # five windows
SLOTS = 20
PEOPLE = 25

_RUNS = """
INSERT INTO parcours_runs (user_id, preset_key) SELECT gen_random_uuid(), 'panique-anxiete' FROM generate_series(1, $1)
RETURNING id
"""
_SEGMENTS = """
INSERT INTO parcours_segments (run_id, segment_index, title, plan, requested_at, due_at, deadline_at)
SELECT r, i, 'A place', $2, clock_timestamp(), clock_timestamp() + i * interval '1 h', 'infinity'
FROM unnest($1::uuid[]) r, generate_series(0, $3::int - 1) i RETURNING id
"""
_QUEUE = """
INSERT INTO generation_queue (segment_id, run_id, user_id, track, provider, due_at, segment_index)
SELECT s.id, s.run_id, r.user_id, 'stable', 'suno', s.due_at, s.segment_index
FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id WHERE s.id = ANY ($1)
"""


@dataclass
class Arena:
    """Two generators that share nothing but a database, and the address at which they look for their provider."""

    dsn: str
    database: Database
    port: int
    generators: list[asyncio.subprocess.Process]


@pytest.fixture(scope="module")
async def arena(postgres_dsn: str, database_template: str) -> AsyncIterator[Arena]:
    name = f"parcours_quota_{secrets.token_hex(4)}"
    server = await asyncpg.connect(postgres_dsn)
    await server.execute(f"CREATE DATABASE {name} TEMPLATE {database_template}")
    dsn = f"{postgres_dsn.partition('?')[0].rsplit('/', 1)[0]}/{name}"
    port = free_port()
    generators = [await _start(dsn, port) for _ in range(2)]
    try:
        async with open_database(dsn, "test") as database:
            yield Arena(dsn, database, port, generators)
    finally:
        for process in generators:
            if process.returncode is None:
                process.kill()
            await process.wait()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


async def _start(dsn: str, port: int) -> asyncio.subprocess.Process:
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": dsn,
        "KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "PORT": "0",
        "SUNO_API_KEY": "key-1",
        "SUNO_BASE_URL": f"http://127.0.0.1:{port}",
        "CALLBACK_BASE": "http://127.0.0.1:1/callback",
        "PROVIDERS": "suno",
        "INTERNAL_SECRET": SECRET,
        "TIME_SCALE": str(SCALE),
        "LOG_LEVEL": "error",
    }
    command = (sys.executable, "-m", "services.generator")
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL)


async def enqueue(database: Database) -> set[str]:
    """A backlog of many people, all wanted now."""
    async with database.transaction(Channel.QUEUE) as connection:
        runs = [row["id"] for row in await connection.fetch(_RUNS, PEOPLE)]
        segments = [row["id"] for row in await connection.fetch(_SEGMENTS, runs, PLAN, BACKLOG // PEOPLE)]
        await connection.execute(_QUEUE, segments)
    return {str(segment) for segment in segments}


async def both_serve(arena: Arena) -> None:
    """Nothing is left of another test, and two generators wait for work."""
    async with arena.database.connection() as connection:
        await connection.execute("DELETE FROM parcours_runs")
    for place, process in enumerate(arena.generators):
        if process.returncode is not None:
            arena.generators[place] = await _start(arena.dsn, arena.port)

    async def connected() -> bool:
        query = (
            "SELECT count(DISTINCT pid) >= 4 FROM pg_stat_activity"
            " WHERE application_name = 'generator' AND datname = current_database()"
        )
        return bool(await value(arena.database, query))

    await until(connected)


def accepted(simulator: Simulator) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = simulator.ledger()["accepted"]
    return calls


def provider(window: Literal["sliding", "fixed", "bucket"], seed: int) -> Settings:
    """Nothing ends while a test lasts: what became of the music is not the question here."""
    return Settings(speed=1 / SCALE, window=window, callbacks="none", seed=seed, stages=(12, 35, 1_000_000))


@pytest.mark.parametrize(("window", "seed"), [("sliding", 1), ("fixed", 2), ("bucket", 3)])
async def test_two_processes_spend_the_window_and_are_never_refused(
    arena: Arena, window: Literal["sliding", "fixed", "bucket"], seed: int
) -> None:
    await both_serve(arena)
    async with serving(provider(window, seed), arena.port) as simulator:
        wanted = await enqueue(arena.database)

        async def all_accepted() -> bool:
            return len(accepted(simulator)) >= BACKLOG

        await until(all_accepted)
        ledger = simulator.ledger()
        assert ledger["refused"] == {}
        assert {call["segment"] for call in ledger["accepted"]} == wanted
        assert len(ledger["accepted"]) == BACKLOG
        await until(lambda: _all_replied(arena.database))
    senders = [process.returncode for process in arena.generators]
    assert senders == [None, None]
    assert await value(arena.database, "SELECT count(*) FROM segment_attempts WHERE outcome = 'refused'") == 0


async def _all_replied(database: Database) -> bool:
    return bool(await value(database, "SELECT count(*) FROM segment_attempts WHERE rank = 1 AND alive") == 0)


async def test_a_kill_in_the_middle_of_a_burst_is_never_refused_and_pays_twice_only_what_is_counted(
    arena: Arena,
) -> None:
    await both_serve(arena)
    doomed = arena.generators[0]
    async with serving(provider("sliding", 4), arena.port) as simulator:
        wanted = await enqueue(arena.database)
        middle = 2 * SLOTS + SLOTS // 2
        async with asyncio.timeout(60):
            while len(accepted(simulator)) < middle:
                await asyncio.sleep(0.001)
        doomed.kill()
        await doomed.wait()

        async def all_accepted() -> bool:
            return wanted <= {call["segment"] for call in accepted(simulator)}

        await until(all_accepted)
        await until(lambda: _all_replied(arena.database))
        ledger = simulator.ledger()
    assert ledger["refused"] == {}
    twice = len(ledger["accepted"]) - BACKLOG
    counted = "SELECT count(*) FROM segment_attempts WHERE facts ? 'possible_double_charge'"
    assert 0 <= twice <= await value(arena.database, counted) <= SLOTS
