"""The connection pool of one process: short transactions, and the empty NOTIFY that follows a commit."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import asyncpg
import orjson
import structlog

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

ACQUIRE_SECONDS = 2.0  # then 503: a caller that waits longer has gone (performance-and-reliability.md §6)
NOTIFY_SECONDS = 0.005  # at most 200 a second and channel: commits that notify share one lock of the whole instance
RELAY_SECONDS = 0.02  # every relay looks when told: not while the listener's gateway does
LONG_AGO = float("-inf")

UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a backend killed in the middle of an answer
    asyncpg.OperatorInterventionError,  # starting up, shutting down, recovering from another backend's crash
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    ConnectionError,
    TimeoutError,
    OSError,
)
"""What is raised when the database is away; nothing was accepted then."""

_log = structlog.get_logger()


class Channel(StrEnum):
    """Whom a commit may wake. The notification is empty: the rows say what there is to do."""

    OUTBOX = "parcours_outbox"  # news for listeners; they are to be published too, so that it wakes a relay as well
    RELAY = "parcours_relay"
    QUEUE = "parcours_queue"
    ARCHIVE = "parcours_archive"
    TEXTS = "parcours_texts"


class Database:
    """A pool whose transactions tell others that they may look."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._pending: dict[Channel, asyncio.Task[None]] = {}
        self._notified_at: dict[Channel, float] = {}
        self._here: dict[Channel, list[asyncio.Event]] = {}

    @asynccontextmanager
    async def transaction(self, *wakes: Channel) -> AsyncIterator[Connection]:
        """One transaction on one connection; after its commit the listeners of `wakes` are notified."""
        async with self.connection() as connection:
            async with connection.transaction():
                yield connection
            for channel in wakes:  # before the connection is given back, which may take a while
                self.wake(channel)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside any transaction, for single statements."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
            yield connection

    def also_wake(self, channel: Channel, event: asyncio.Event) -> None:
        """Set `event` at once when this process itself has written what the channel tells of."""
        self._here.setdefault(channel, []).append(event)

    def wake_no_more(self, channel: Channel, event: asyncio.Event) -> None:
        """Forget an event that nobody waits for any more."""
        self._here[channel].remove(event)

    def wake(self, channel: Channel, *, after: float = 0.0) -> None:
        """Wake who looks at the channel's rows: at once in this process, by an empty NOTIFY elsewhere.

        The first call notifies at once, the calls of the next few milliseconds share another. Losing it costs a second.
        `after`: seconds for something more urgent that this process does first.
        """
        if after:
            asyncio.get_running_loop().call_later(after, self.wake, channel)
            return
        for event in (event for each in _meant(channel) for event in self._here.get(each, ())):
            event.set()
        for each in self._told_elsewhere(channel):
            if each not in self._pending:
                self._pending[each] = asyncio.create_task(self._notify(each))

    def _told_elsewhere(self, channel: Channel) -> list[Channel]:
        """One relay is enough: where this process has one, the others would find the rows leased."""
        return [each for each in _meant(channel) if each is not Channel.RELAY or not self._here.get(each)]

    async def _notify(self, channel: Channel) -> None:
        clock = asyncio.get_running_loop().time
        earliest = self._notified_at.get(channel, LONG_AGO) + NOTIFY_SECONDS
        if channel is Channel.RELAY:
            earliest = max(earliest, clock() + RELAY_SECONDS)
        await asyncio.sleep(max(0.0, earliest - clock()))
        self._pending.pop(channel, None)
        self._notified_at[channel] = clock()
        try:
            async with self.connection() as connection:
                await connection.execute(f"NOTIFY {channel}")
        except UNAVAILABLE as error:
            _log.warning("notify_failed", channel=str(channel), error_class=type(error).__name__)

    async def check(self) -> None:
        """Raise when the database does not answer."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

    async def close(self) -> None:
        """Send what is still to be notified and close the pool."""
        await asyncio.gather(*self._pending.values(), return_exceptions=True)
        try:
            await asyncio.wait_for(self._pool.close(), ACQUIRE_SECONDS)
        except TimeoutError:
            self._pool.terminate()


def _meant(channel: Channel) -> tuple[Channel, ...]:
    """Rows of the outbox are news for relays too."""
    return (channel, Channel.RELAY) if channel is Channel.OUTBOX else (channel,)


@asynccontextmanager
async def open_database(
    dsn: str, service: str, *, min_size: int = 2, max_size: int = 8, session_locks: bool = False
) -> AsyncIterator[Database]:
    """Open the pool. `service` becomes the connections' application_name, which segment_history records.

    A connection is given back as it is, without asyncpg's round trip that resets its session: what we do to one ends
    with its transaction. Who takes locks of the session says so. None is closed for having been idle: after a quiet
    while somebody's first sound would wait for a new one and for its statements.
    """
    pool = await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        init=use_json,
        reset=None if session_locks else _as_it_is,
        max_inactive_connection_lifetime=0,
        timeout=5,
        command_timeout=10,
        server_settings={"application_name": service},
    )
    database = Database(pool)
    try:
        yield database
    finally:
        await database.close()


async def _as_it_is(_connection: Connection) -> None:
    """Nothing to reset; asyncpg itself rolls back a transaction that was left open."""


async def use_json(connection: Connection) -> None:
    """Let jsonb columns be Python values on this connection."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS),
        decoder=lambda raw: orjson.loads(raw[1:]),  # the first byte is jsonb's version
        format="binary",
    )


def rows_to_dicts(rows: Sequence[asyncpg.Record]) -> list[dict[str, Any]]:
    """Plain dictionaries, for answers that are serialised."""
    return [dict(row) for row in rows]
