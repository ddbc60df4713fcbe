"""Plays a world through the generator's own claim on a real PostgreSQL whose clock is virtual.

`clock_timestamp()` is found in the schema `virtual` before `pg_catalog`: claim, queue and slots run as they are, and
the order they make is compared, call by call, with that of the model in `benchmarks.world`.
"""

import heapq
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from benchmarks.world import EPOCH, Call, World, terms
from libs.common.database import Database, open_database
from services.generator.domain.answers import Accepted
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.roster import make_roster
from services.generator.handlers.claim import Claim, claim
from services.generator.handlers.reply import conclude
from services.generator.handlers.resources import Resources
from services.generator.storage import accounts, queue

ACCOUNT, PROVIDER, TRACK = "suno-1", "suno", "stable"
SETTLED_SECONDS = 900.0  # for `max_in_flight`, which this account has none of
FAR = timedelta(days=1)

# Defaults of columns were bound to the real clock when the tables were made.
_VIRTUAL_CLOCK = """
CREATE SCHEMA virtual;
CREATE TABLE virtual.clock (at timestamptz NOT NULL);
CREATE FUNCTION virtual.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM virtual.clock';
ALTER TABLE generation_queue ALTER COLUMN enqueued_at SET DEFAULT virtual.clock_timestamp();
ALTER TABLE segment_attempts ALTER COLUMN dispatched_at SET DEFAULT virtual.clock_timestamp();
"""
_FOR_EVERY_CONNECTION = (
    "ALTER DATABASE {name} SET search_path = virtual, pg_catalog, public",
    "ALTER DATABASE {name} SET synchronous_commit = off",
)
_SET_CLOCK = "UPDATE virtual.clock SET at = $1"
_RUN = "INSERT INTO parcours_runs (id, user_id, preset_key) VALUES ($1, $1, 'panique-anxiete')"
_SEGMENT = """
INSERT INTO parcours_segments (id, run_id, segment_index, requested_at, due_at, deadline_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""


NOBODY: Any = None
"""Stands where the generator keeps provider and callback: in virtual time the world answers for them."""


class VirtualPlatform:
    """One generator whose clock is set by hand."""

    def __init__(self, database: Database) -> None:
        clock = Clockwork()
        roster = make_roster([PROVIDER], {ACCOUNT: PROVIDER}, clock, 1.0)
        self._database = database
        self._provider = roster.provider(PROVIDER)
        self._resources = Resources(
            database=database, roster=roster, clock=clock, tracks=[TRACK], music=NOBODY, callback=NOBODY
        )
        self._segments: dict[UUID, tuple[int, int]] = {}

    async def begin(self, world: World) -> list[tuple[int, UUID]]:
        """Make account, runs and segments; when each segment is asked for."""
        users = [uuid4() for _user in range(world.shape.users)]
        rows, coming = [], []
        for wanted in world.wanted():
            segment, asked = uuid4(), EPOCH + timedelta(microseconds=wanted.enqueued)
            self._segments[segment] = (wanted.user, wanted.index)
            due = EPOCH + timedelta(microseconds=wanted.due)
            rows.append((segment, users[wanted.user], wanted.index, asked, due, asked + FAR))
            coming.append((wanted.enqueued, segment))
        async with self._database.transaction() as connection:
            await connection.execute("INSERT INTO virtual.clock VALUES ($1)", EPOCH)
            await accounts.upsert(connection, ACCOUNT, PROVIDER, terms(), SETTLED_SECONDS)
            await connection.executemany(_RUN, [(user,) for user in users])
            await connection.executemany(_SEGMENT, rows)
        return coming

    async def ask_for(self, at: int, segment: UUID) -> None:
        """What `segment.requested` does to the queue."""
        await self._set_clock(at)
        async with self._database.transaction() as connection:
            await queue.enqueue(connection, segment, PROVIDER)

    async def claim(self, at: int) -> tuple[tuple[int, int], Claim] | None:
        """User and index of the next call; `None` when no slot is free or nothing waits."""
        await self._set_clock(at)
        made = await claim(self._resources, self._provider)
        return (self._segments[made.brief.segment_id], made) if isinstance(made, Claim) else None

    async def reply(self, at: int, made: Claim) -> None:
        """The provider has accepted."""
        await self._set_clock(at)
        await conclude(self._resources, made, Accepted(made.attempt_id.hex), 0.0)

    async def _set_clock(self, microseconds: int) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(_SET_CLOCK, EPOCH + timedelta(microseconds=microseconds))


async def replay(dsn: str, world: World, calls: list[Call], most: int) -> int:
    """How many calls in a row (at most `most`) the platform makes as the model did, at the same microseconds."""
    await _prepare(dsn)
    async with open_database(dsn, "benchmark") as database:
        platform = VirtualPlatform(database)
        coming = list(reversed(await platform.begin(world)))
        replies: list[tuple[int, int, Claim]] = []
        for number, call in enumerate(calls[:most]):
            while replies and replies[0][0] <= call.at:
                replied, _number, made = heapq.heappop(replies)
                await platform.reply(replied, made)
            while coming and coming[-1][0] <= call.at:
                await platform.ask_for(*coming.pop())
            found = await platform.claim(call.at)
            if found is None or found[0] != (call.user, call.index):
                return number
            heapq.heappush(replies, (call.replied, number, found[1]))
    return min(most, len(calls))


async def _prepare(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_VIRTUAL_CLOCK)
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        for statement in _FOR_EVERY_CONNECTION:
            await connection.execute(statement.format(name=name))
    finally:
        await connection.close()
