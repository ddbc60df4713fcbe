"""From outbox to handler over the real broker: nothing lost, nothing done twice, poison set aside with its reason."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer

from libs.common.consumers import Consumers, Handler
from libs.common.database import Channel, Connection, Database
from libs.common.deliveries import dead_letters, replay_dead_letters
from libs.common.errors import Reject, Retry
from libs.common.events import RunCreated, SegmentRequested
from libs.common.lifecycle import lock_run
from libs.common.loops import open_loops
from libs.common.messaging import open_messaging
from libs.common.outbox import announce
from libs.common.publisher import Publisher
from libs.common.relay import _CLAIM as CLAIM
from libs.common.relay import Relay, pending, replay_outbox
from libs.common.topics import Topic
from libs.common.wakeups import open_wakeups

WAIT_SECONDS = 30.0


@contextlib.asynccontextmanager
async def service(
    dsn: str, opened: Database, bootstrap: str, prefix: str, handler: Handler, *, name: str = "tester"
) -> AsyncIterator[Consumers]:
    """A whole small service: wake-ups, loops, a relay and one consumer of run.created, with back-offs of a 20th."""
    consumers = Consumers(opened, bootstrap, name, prefix, time_scale=0.05)
    consumers.on(RunCreated, handler)
    async with (
        open_wakeups(dsn, name) as wakeups,
        open_loops(5.0) as loops,
        open_messaging(consumers, database=opened, wakeups=wakeups, loops=loops),
    ):
        yield consumers


def created(run_id: UUID) -> RunCreated:
    return RunCreated(run_id=run_id, preset_key="universel-reset", strategy="ahead", segments_count=1)


async def tell(opened: Database, run_id: UUID, count: int = 1) -> None:
    async with opened.transaction(Channel.OUTBOX) as connection:
        await lock_run(connection, run_id)
        await announce(connection, *(created(run_id) for _ in range(count)))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_what_is_announced_is_handled_once_and_in_order(
    database: str, opened: Database, run_id: UUID, kafka_bootstrap: str, topics: str
) -> None:
    seen: list[int] = []
    done = asyncio.Event()

    async def handle(connection: Connection, event: RunCreated) -> None:
        assert event.run_id == run_id
        seen.append(await connection.fetchval("SELECT count(*) FROM consumer_inbox"))
        if len(seen) == 30:
            done.set()

    async with service(database, opened, kafka_bootstrap, topics, handle):
        for _ in range(10):
            await tell(opened, run_id, 3)
        await asyncio.wait_for(done.wait(), WAIT_SECONDS)
    assert seen == list(range(1, 31))
    assert await pending(opened) == (0, 0.0)


async def test_an_event_that_is_published_twice_has_one_effect(
    database: str, opened: Database, run_id: UUID, kafka_bootstrap: str, topics: str
) -> None:
    calls: list[UUID] = []

    async def handle(_connection: Connection, event: RunCreated) -> None:
        calls.append(event.run_id)

    async with service(database, opened, kafka_bootstrap, topics, handle) as consumers:
        await tell(opened, run_id)
        await until(lambda: _count(opened, "consumer_inbox", 1))
        async with opened.connection() as connection:
            since = await connection.fetchval("SELECT min(created_at) FROM outbox")
        assert await replay_outbox(opened, since) == 1
        await tell(opened, run_id)  # behind the repeated one, on the same partition
        await until(lambda: _count(opened, "consumer_inbox", 2))
        assert consumers.group_id == f"{topics}tester"
    assert len(calls) == 2


async def test_a_handler_that_always_raises_is_tried_five_times_and_set_aside_with_its_reason(
    database: str, opened: Database, run_id: UUID, kafka_bootstrap: str, topics: str
) -> None:
    calls: list[int] = []

    async def handle(connection: Connection, _event: RunCreated) -> None:
        calls.append(1)
        await connection.execute("INSERT INTO users (id) VALUES (gen_random_uuid())")
        raise ValueError("the text of an error may hold content and must not be kept")

    async with service(database, opened, kafka_bootstrap, topics, handle):
        await tell(opened, run_id)
        await until(lambda: _count(opened, "dead_letters", 1))
        (letter,) = await dead_letters(opened)
        assert (letter["reason"], letter["deliveries"], len(calls)) == ("ValueError", 5, 5)
        assert await _count(opened, "users", 0), "a failed delivery left its effect behind"
        assert await _count(opened, "consumer_retries", 0)


async def test_a_replayed_dead_letter_gets_its_effect(
    database: str, opened: Database, run_id: UUID, kafka_bootstrap: str, topics: str
) -> None:
    mended = asyncio.Event()
    done = asyncio.Event()

    async def handle(_connection: Connection, _event: RunCreated) -> None:
        if not mended.is_set():
            raise Reject("not_yet")
        done.set()

    async with service(database, opened, kafka_bootstrap, topics, handle):
        await tell(opened, run_id)
        await until(lambda: _count(opened, "dead_letters", 1))
        mended.set()
        assert await replay_dead_letters(opened) == 1
        await asyncio.wait_for(done.wait(), WAIT_SECONDS)
        await until(lambda: _count(opened, "consumer_retries", 0))
        assert await dead_letters(opened) == []


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"version": 2}', b"\xff" * 100])
async def test_a_malformed_message_is_set_aside_and_the_next_one_handled(
    database: str, opened: Database, run_id: UUID, kafka_bootstrap: str, topics: str, payload: bytes
) -> None:
    done = asyncio.Event()

    async def handle(_connection: Connection, _event: RunCreated) -> None:
        done.set()

    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
    await producer.start()
    headers = [("ce_id", str(uuid.uuid4()).encode())]
    await producer.send_and_wait(topics + Topic.RUN_CREATED, payload, key=str(run_id).encode(), headers=headers)
    await producer.stop()
    async with service(database, opened, kafka_bootstrap, topics, handle):
        await tell(opened, run_id)
        await asyncio.wait_for(done.wait(), WAIT_SECONDS)
        await until(lambda: _count(opened, "dead_letters", 1))
        (letter,) = await dead_letters(opened)
        assert letter["reason"] == "malformed_event"


async def test_a_retry_is_delivered_again_and_does_not_hold_up_its_neighbours(
    database: str, opened: Database, run_id: UUID, kafka_bootstrap: str, topics: str
) -> None:
    calls: list[str] = []

    async def handle(_connection: Connection, _event: RunCreated) -> None:
        calls.append("call")
        if len(calls) == 1:
            raise Retry("try_again")

    async with service(database, opened, kafka_bootstrap, topics, handle):
        await tell(opened, run_id, 2)
        await until(lambda: _count(opened, "consumer_inbox", 2))
        await until(lambda: _count(opened, "consumer_retries", 0))
    assert len(calls) == 3


async def test_two_members_of_a_group_share_the_work_without_doing_it_twice(
    database: str, opened: Database, kafka_bootstrap: str, topics: str
) -> None:
    handled: list[UUID] = []

    async def handle(_connection: Connection, event: RunCreated) -> None:
        handled.append(event.run_id)

    async with opened.connection() as connection:
        rows = await connection.fetch(
            "INSERT INTO parcours_runs (user_id, preset_key) SELECT gen_random_uuid(), 'x' FROM generate_series(1, 40) "
            "RETURNING id"
        )
    async with (
        service(database, opened, kafka_bootstrap, topics, handle),
        service(database, opened, kafka_bootstrap, topics, handle),
    ):
        for row in rows:
            await tell(opened, row["id"])
        await until(lambda: _count(opened, "consumer_inbox", 40))
    assert sorted(handled) == sorted(row["id"] for row in rows)


async def test_a_handler_that_exceeds_its_deadline_is_cut_off_and_retried(
    database: str, opened: Database, run_id: UUID, kafka_bootstrap: str, topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.common.consumers.HANDLER_SECONDS", 0.2)
    calls: list[int] = []

    async def handle(_connection: Connection, _event: RunCreated) -> None:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()

    async with service(database, opened, kafka_bootstrap, topics, handle):
        await tell(opened, run_id)
        await until(lambda: _count(opened, "consumer_inbox", 1))
    assert len(calls) == 2


async def test_an_announcement_that_is_rolled_back_is_never_published(opened: Database, run_id: UUID) -> None:
    with contextlib.suppress(KeyError):
        async with opened.transaction() as connection:
            await lock_run(connection, run_id)
            await announce(connection, created(run_id))
            raise KeyError
    assert await pending(opened) == (0, 0.0)


async def test_an_event_of_a_run_that_does_not_exist_is_refused(opened: Database) -> None:
    event = SegmentRequested.model_validate(
        {
            "run_id": uuid.uuid4(),
            "segment_id": uuid.uuid4(),
            "segment_index": 0,
            "due_at": "2026-11-21T10:00:00Z",
            "deadline_at": "2026-11-21T10:30:00Z",
        }
    )
    with pytest.raises(LookupError, match="does not exist"):
        async with opened.transaction() as connection:
            await announce(connection, event)


async def _count(opened: Database, table: str, expected: int) -> bool:
    async with opened.connection() as connection:
        return bool(await connection.fetchval(f"SELECT count(*) FROM {table}") == expected)  # noqa: S608 - our own names


async def test_a_turn_publishes_the_oldest_news_of_every_run_and_stamps_them_all(
    opened: Database, kafka_bootstrap: str, topics: str
) -> None:
    publisher = Publisher(kafka_bootstrap, "test")
    relay = Relay(opened, publisher, source="test", prefix=topics)
    runs = [uuid.uuid4() for _ in range(5)]
    async with opened.connection() as connection:
        await connection.executemany(
            "INSERT INTO parcours_runs (id, user_id, preset_key) VALUES ($1, $1, 'universel-reset')",
            [(run_id,) for run_id in runs],
        )
    for run_id in runs:
        await tell(opened, run_id, 2)
    try:
        assert await relay.turn()
        assert (await pending(opened))[0] == 5  # the second of each waits until the first is stamped
        assert await relay.turn()
        assert (await pending(opened))[0] == 0
        assert not await relay.turn()
    finally:
        await publisher.close()


async def test_news_that_cannot_be_sent_holds_up_its_own_run_alone(
    opened: Database, kafka_bootstrap: str, topics: str
) -> None:
    publisher = Publisher(kafka_bootstrap, "test")
    relay = Relay(opened, publisher, source="test", prefix=topics)
    broken, *others = [uuid.uuid4() for _ in range(3)]
    for run_id in (broken, *others):
        async with opened.connection() as connection:
            await connection.execute(
                "INSERT INTO parcours_runs (id, user_id, preset_key) VALUES ($1, $1, 'universel-reset')", run_id
            )
        await tell(opened, run_id, 2)
    async with opened.connection() as connection:
        await connection.execute("UPDATE outbox SET headers = '{\"track\": 1}' WHERE key = $1", broken)
    try:
        assert await relay.turn()
        assert await relay.turn()
    finally:
        await publisher.close()
    async with opened.connection() as connection:
        waiting = await connection.fetch("SELECT DISTINCT key FROM outbox WHERE published_at IS NULL")
    assert [row["key"] for row in waiting] == [broken]


async def test_what_no_broker_confirms_stays_to_be_published_by_anybody(opened: Database, run_id: UUID) -> None:
    publisher = Publisher("127.0.0.1:1", "test")  # nobody listens there
    relay = Relay(opened, publisher, source="test")
    await tell(opened, run_id)
    assert not await relay.turn()
    await publisher.close()
    async with opened.connection() as connection:
        row = await connection.fetchrow("SELECT published_at, claimed_until < clock_timestamp() AS free FROM outbox")
    assert row is not None
    assert dict(row) == {"published_at": None, "free": True}


async def test_a_lease_of_the_relay_does_not_wait_for_the_disk(opened: Database, run_id: UUID) -> None:
    await tell(opened, run_id)
    async with opened.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = on")
        assert await connection.fetchrow(CLAIM, 6.0, 1) is not None
        assert await connection.fetchval("SHOW synchronous_commit") == "off"
