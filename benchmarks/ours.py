"""The platform as a participant: runs asked for as the runner does, generators as processes on PostgreSQL, Kafka."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self
from uuid import UUID, uuid4

from benchmarks.rig.errors import RigError
from benchmarks.rig.servers import Rig, SimulatorProcess
from libs.common import topics
from libs.common.database import Channel, Connection, Database, open_database
from libs.common.topics import Topic
from services.runner.domain.due import Pace
from services.runner.handlers.steps import advance
from stack.embedded.processes import Running, start

# What the generator hears and says: all topics of the platform for each pass would be 132 partitions.
TOPICS = (Topic.SEGMENT_REQUESTED, Topic.SEGMENT_STARTED, Topic.SEGMENT_FAILED)
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing calls back in these benchmarks
PLAYABLE = timedelta(seconds=150)  # G, as in the runner's settings
SEGMENT_SECONDS = 180.0
QUEUED_WITHIN_SECONDS = 120.0

# Many runs in one transaction; each begins at a time of its own all the same, since one person hears one at a time.
_RUN = """
INSERT INTO parcours_runs (id, user_id, preset_key, strategy, plan, created_at)
VALUES ($1, $2, 'panique-anxiete', $3, jsonb_build_object('total_seconds', $4::float), clock_timestamp())
"""
_SEGMENTS = """
INSERT INTO parcours_segments (run_id, segment_index, title, plan)
SELECT $1, number, 'Benchmark', $3 FROM generate_series(0, $2::int - 1) number
RETURNING id
"""
_SPEND = """
UPDATE quota_slots s SET free_at = clock_timestamp() + a.hold FROM quota_accounts a WHERE a.account = s.account
"""
_FIRST_CALLS = "SELECT user_id, extract(epoch FROM min(dispatched_at))::float8 AS at FROM segment_attempts GROUP BY 1"
_IN_FLIGHT = "SELECT count(*) FROM segment_attempts WHERE rank = 1 AND outcome IS NULL AND submitted_at IS NULL"


@dataclass(frozen=True)
class Journey:
    """One run of one person; with strategy `all` every segment is asked for at once, with `ahead` the first."""

    user: UUID = field(default_factory=uuid4)
    segments: int = 8
    strategy: str = "all"


@dataclass
class Ours:
    """A platform of its own for one pass: a database, a prefix of topics, two generator processes."""

    rig: Rig
    simulator: SimulatorProcess
    name: str  # of the database and the prefix; unique in the rig
    time_scale: float = 1.0
    users: dict[str, UUID] = field(default_factory=dict)  # of each segment
    generators: list[Running] = field(default_factory=list)
    _database: Database | None = None
    _exits: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        dsn = await self.rig.database(self.name)
        bootstrap = await self.rig.kafka()
        await topics.apply(bootstrap, f"{self.name}.", topics=TOPICS)
        environment = {
            "DATABASE_URL": dsn,
            "KAFKA_BOOTSTRAP": bootstrap,
            "KAFKA_PREFIX": f"{self.name}.",
            "TIME_SCALE": str(self.time_scale),
            "INTERNAL_SECRET": "benchmark",
            "LOG_LEVEL": "warning",
            "PROVIDERS": "suno",
            "SUNO_API_KEY": "benchmark",
            "SUNO_BASE_URL": self.simulator.url,
            "CALLBACK_BASE": f"{NOBODY}/callback",
            "CALLBACK_URL": NOBODY,
        }
        self._database = await self._exits.enter_async_context(open_database(dsn, "runner"))
        self.generators = list(
            await asyncio.gather(*(self.rig.service("generator", environment) for _number in range(2)))
        )
        for generator in self.generators:
            self._exits.push_async_callback(asyncio.to_thread, _stop, self.generators, self.generators.index(generator))
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._exits.aclose()

    @property
    def database(self) -> Database:
        if self._database is None:
            raise RigError("the platform is not started")
        return self._database

    async def request(self, journeys: Sequence[Journey], *, chunk: int = 50) -> None:
        """Create runs and ask for their segments through the runner's own step: outbox, relay, Kafka, generator."""
        pace = Pace(PLAYABLE, self.time_scale)
        for begin in range(0, len(journeys), chunk):
            async with self.database.transaction(Channel.OUTBOX) as connection:
                for journey in journeys[begin : begin + chunk]:
                    await self._create(connection, pace, journey)

    async def _create(self, connection: Connection, pace: Pace, journey: Journey) -> None:
        run_id = uuid4()
        total = SEGMENT_SECONDS * journey.segments
        await connection.execute(_RUN, run_id, journey.user, journey.strategy, total)
        for row in await connection.fetch(_SEGMENTS, run_id, journey.segments, _plan()):
            self.users[str(row["id"])] = journey.user
        await advance(connection, pace, run_id)

    async def close_account(self) -> None:
        """Nothing is claimed until `open_account`: the crowd gathers before the door is opened."""
        async with self.database.transaction() as connection:
            await connection.execute("UPDATE quota_accounts SET closed_until = 'infinity'")

    async def open_account(self, *, frozen: bool = False) -> float:
        """Open the door; the epoch second at which it was open. `frozen`: as if a whole burst had just been replied."""
        async with self.database.transaction(Channel.QUEUE) as connection:
            if frozen:
                await connection.execute(_SPEND)
            await connection.execute("UPDATE quota_accounts SET closed_until = 'epoch'")
        return time.time()

    async def first_calls(self) -> dict[UUID, float]:
        """When each person's first call was claimed, epoch seconds."""
        async with self.database.connection() as connection:
            return {row["user_id"]: row["at"] for row in await connection.fetch(_FIRST_CALLS)}

    async def wait_queued(self, count: int) -> None:
        """Wait until the generators have taken all requests from Kafka into the queue."""
        give_up_at = time.monotonic() + QUEUED_WITHIN_SECONDS
        while await self._fetch("SELECT count(*) FROM generation_queue") < count:
            if time.monotonic() > give_up_at:
                raise RigError(f"the generators have not queued {count} segments in {QUEUED_WITHIN_SECONDS:g} s")
            await asyncio.sleep(0.1)

    async def in_flight(self) -> int:
        """Calls that were claimed and whose reply was not read yet."""
        return await self._fetch(_IN_FLIGHT)

    async def kill_and_restart(self, number: int) -> None:
        """Kill -9 one generator and start it again at once, as a supervisor would."""
        killed = self.generators[number]
        killed.kill()
        self.generators[number] = await asyncio.to_thread(start, killed.server, killed.log)

    async def _fetch(self, statement: str) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval(statement))


def _stop(generators: list[Running], number: int) -> None:
    generators[number].stop(5)


def _plan() -> dict[str, object]:
    return {
        "seconds": SEGMENT_SECONDS,
        "file_seconds": SEGMENT_SECONDS + 5,
        "style_clauses": ["instrumental ambient, no vocals", "72 BPM steady"],
        "negative_tags": ["drums", "vocals"],
        "style_weight": 0.6,
        "weirdness": 0.2,
        "loudness_lufs": -16.0,
        "last": False,
        "x_parcours": {"version": 1, "seed": 7},
    }
