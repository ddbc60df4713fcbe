"""While database or client refuse, stop or cannot be written to, nothing is passed by and nobody stops listening."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from faststream.kafka import KafkaBroker

from libs.common import wakeups as module
from libs.common.consumers import Consumers, Handler
from libs.common.database import UNAVAILABLE, Channel, Connection, Database
from libs.common.deliveries import dead_letters
from libs.common.events import RunCreated
from libs.common.topics import Topic
from libs.common.wakeups import open_wakeups

WAIT_SECONDS = 30.0
REFUSED_SECONDS = 0.3  # several attempts to connect


@contextlib.asynccontextmanager
async def refusing(server: str, dsn: str) -> AsyncIterator[None]:
    """Let the server end and refuse all connections to one database."""
    name = dsn.rpartition("/")[2].partition("?")[0]
    admin = await asyncpg.connect(server)
    try:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        yield
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()


async def test_a_listener_outlives_a_server_that_answers_but_refuses(
    postgres_dsn: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(module, "RECONNECT_SECONDS", 0.02)
    async with open_wakeups(database, "test") as wakeups:
        woken = wakeups.event(Channel.QUEUE)
        await asyncio.wait_for(woken.wait(), WAIT_SECONDS)
        async with refusing(postgres_dsn, database):
            await asyncio.sleep(REFUSED_SECONDS)
            woken.clear()
        await asyncio.wait_for(woken.wait(), WAIT_SECONDS)
        woken.clear()
        sender = await asyncpg.connect(database)
        await sender.execute(f"NOTIFY {Channel.QUEUE}")
        await sender.close()
        await asyncio.wait_for(woken.wait(), WAIT_SECONDS)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.CannotConnectNowError,
        asyncpg.AdminShutdownError,
        asyncpg.CrashShutdownError,
        asyncpg.TooManyConnectionsError,
        asyncpg.DiskFullError,
    ],
)
def test_a_database_that_starts_stops_or_is_full_counts_as_away(error: type[Exception]) -> None:
    assert issubclass(error, UNAVAILABLE)


async def test_a_message_whose_failure_cannot_be_written_down_is_not_passed_by(
    opened: Database, run_id: UUID, kafka_bootstrap: str, topics: str
) -> None:
    calls: list[int] = []
    done = asyncio.Event()

    async def handle(connection: Connection, _event: RunCreated) -> None:
        calls.append(1)
        if len(calls) == 1:
            await connection.execute("SELECT 1 / 0")
        done.set()

    async with _consuming(opened, kafka_bootstrap, topics, handle):
        async with opened.connection() as connection:
            await connection.execute("ALTER TABLE consumer_retries RENAME TO elsewhere")
        await _send(kafka_bootstrap, topics, run_id, "7f6f1e0a-3c55-4a9a-9a32-0b7a6c6b1d01")
        await asyncio.wait_for(done.wait(), WAIT_SECONDS)
    assert len(calls) == 2


async def test_consumers_whose_client_breaks_at_the_start_try_again(
    opened: Database, run_id: UUID, kafka_bootstrap: str, topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = asyncio.Event()
    starts: list[int] = []
    start = KafkaBroker.start

    async def stumble(broker: KafkaBroker) -> None:
        starts.append(1)
        if len(starts) == 1:
            raise RuntimeError("a mistake of the client's")
        await start(broker)

    async def handle(_connection: Connection, _event: RunCreated) -> None:
        done.set()

    monkeypatch.setattr(KafkaBroker, "start", stumble)
    await _send(kafka_bootstrap, topics, run_id, "7f6f1e0a-3c55-4a9a-9a32-0b7a6c6b1d05")
    async with _consuming(opened, kafka_bootstrap, topics, handle):
        await asyncio.wait_for(done.wait(), WAIT_SECONDS)


async def test_a_header_that_postgresql_cannot_keep_ends_in_the_dead_letters(
    opened: Database, run_id: UUID, kafka_bootstrap: str, topics: str
) -> None:
    done = asyncio.Event()

    async def handle(_connection: Connection, _event: RunCreated) -> None:
        done.set()

    async with _consuming(opened, kafka_bootstrap, topics, handle):
        await _send(kafka_bootstrap, topics, run_id, "\0")
        await _send(kafka_bootstrap, topics, run_id, "7f6f1e0a-3c55-4a9a-9a32-0b7a6c6b1d02")
        await asyncio.wait_for(done.wait(), WAIT_SECONDS)
    (letter,) = await dead_letters(opened)
    assert letter["reason"] == "malformed_event"


@contextlib.asynccontextmanager
async def _consuming(opened: Database, bootstrap: str, prefix: str, handle: Handler) -> AsyncIterator[None]:
    consumers = Consumers(opened, bootstrap, "tester", prefix, time_scale=0.05)
    consumers.on(RunCreated, handle)
    running = asyncio.create_task(consumers.run())
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _send(bootstrap: str, prefix: str, run_id: UUID, event_id: str) -> None:
    event = RunCreated(run_id=run_id, preset_key="universel-reset", strategy="ahead", segments_count=1)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(
            prefix + Topic.RUN_CREATED,
            event.model_dump_json().encode(),
            key=str(run_id).encode(),
            headers=[("ce_id", event_id.encode())],
        )
    finally:
        await producer.stop()
