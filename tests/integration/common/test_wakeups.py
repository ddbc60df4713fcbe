"""Who is woken by a commit: whoever looks in the same process at once, others by few notifications, nobody in vain."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg

from libs.common.database import NOTIFY_SECONDS, Channel, Database
from libs.common.wakeups import open_wakeups

WAIT_SECONDS = 30.0
QUIET_SECONDS = 0.1  # twenty times what a notification is held back


@contextlib.asynccontextmanager
async def heard(dsn: str, *channels: Channel) -> AsyncIterator[list[str]]:
    """What another process hears on these channels."""
    notifications: list[str] = []

    def note(_connection: object, _pid: int, channel: str, _payload: object) -> None:
        notifications.append(channel)

    connection = await asyncpg.connect(dsn)
    for channel in channels:
        await connection.add_listener(channel, note)
    try:
        yield notifications
    finally:
        await connection.close()


async def test_who_waits_in_the_same_process_is_woken_by_the_commit_itself(opened: Database) -> None:
    woken = asyncio.Event()
    opened.also_wake(Channel.QUEUE, woken)
    async with opened.transaction(Channel.QUEUE):
        assert not woken.is_set()
    assert woken.is_set()
    woken.clear()
    opened.wake_no_more(Channel.QUEUE, woken)
    opened.wake(Channel.QUEUE)
    assert not woken.is_set()


async def test_nothing_is_told_of_a_transaction_that_was_rolled_back(opened: Database) -> None:
    woken = asyncio.Event()
    opened.also_wake(Channel.QUEUE, woken)
    with contextlib.suppress(ZeroDivisionError):
        async with opened.transaction(Channel.QUEUE):
            raise ZeroDivisionError
    assert not woken.is_set()


async def test_news_wake_the_relays_of_others_only_where_there_is_none(opened: Database, database: str) -> None:
    async with heard(database, Channel.OUTBOX, Channel.RELAY) as notifications:
        opened.wake(Channel.OUTBOX)
        await asyncio.sleep(QUIET_SECONDS)
        assert sorted(notifications) == [Channel.OUTBOX, Channel.RELAY]
        notifications.clear()
        relay = asyncio.Event()
        opened.also_wake(Channel.RELAY, relay)
        opened.wake(Channel.OUTBOX)
        assert relay.is_set()
        await asyncio.sleep(QUIET_SECONDS)
        assert notifications == [Channel.OUTBOX]


async def test_a_burst_of_commits_notifies_at_most_once_in_five_milliseconds(opened: Database, database: str) -> None:
    async with heard(database, Channel.QUEUE) as notifications:
        began = asyncio.get_running_loop().time()
        for _ in range(200):
            opened.wake(Channel.QUEUE)
            await asyncio.sleep(0)
        most = 2 + (asyncio.get_running_loop().time() - began) / NOTIFY_SECONDS
        await asyncio.sleep(QUIET_SECONDS)
        assert 1 <= len(notifications) <= most


async def test_the_last_commit_of_a_burst_is_never_kept_to_oneself(opened: Database, database: str) -> None:
    async with heard(database, Channel.QUEUE) as notifications:
        opened.wake(Channel.QUEUE)
        async with asyncio.timeout(WAIT_SECONDS):
            while not notifications:
                await asyncio.sleep(0)
        opened.wake(Channel.QUEUE)  # within the few milliseconds in which another is held back
        async with asyncio.timeout(WAIT_SECONDS):
            while len(notifications) < 2:
                await asyncio.sleep(0.001)


async def test_a_channel_asked_for_later_is_listened_to_without_delay(opened: Database, database: str) -> None:
    async with open_wakeups(database, "test") as wakeups, asyncio.timeout(WAIT_SECONDS):
        first = wakeups.event(Channel.TEXTS)
        await first.wait()
        later = wakeups.event(Channel.ARCHIVE)
        await later.wait()  # set as soon as it is listened to, for what was notified before
        later.clear()
        opened.wake(Channel.ARCHIVE)
        await later.wait()
