"""One LISTEN connection of a process, which turns notifications into asyncio events and survives its own loss."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import asyncpg
import structlog

from libs.common.database import UNAVAILABLE, Channel, Connection
from libs.common.tasks import end

RECONNECT_SECONDS = 0.5  # plus as much jitter: a restarted database must not be met by everybody at once
CHECK_SECONDS = 5.0  # how soon a silently dead connection is noticed

_log = structlog.get_logger()


class Wakeups:
    """Events that are set when a channel is notified, and whenever the connection comes back."""

    def __init__(self, dsn: str, service: str) -> None:
        self._dsn = dsn
        self._service = service
        self._events: dict[Channel, list[asyncio.Event]] = {}
        self._more = asyncio.Event()  # a channel that nobody listened to so far

    def event(self, channel: Channel) -> asyncio.Event:
        """An event of the caller's own; the caller clears it before it looks at the rows."""
        event = asyncio.Event()
        if channel not in self._events:
            self._more.set()
        self._events.setdefault(channel, []).append(event)
        return event

    def forget(self, channel: Channel, event: asyncio.Event) -> None:
        """Stop setting an event that nobody waits for any more."""
        self._events[channel].remove(event)

    async def run(self) -> None:
        """Listen until cancelled; reconnect with jitter."""
        while True:
            try:
                await self._listen()
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:  # whatever it says, a listener must come back
                _log.warning("listen_lost", error_class=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS * (1 + random.random()))  # noqa: S311 - jitter is no secret

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._dsn, timeout=5, command_timeout=5, server_settings={"application_name": f"{self._service}-listen"}
        )
        try:
            heard: set[Channel] = set()
            while True:
                self._more.clear()
                for channel in self._events.keys() - heard:  # each notification costs its listener a turn: no more
                    await connection.add_listener(channel, self._notified)
                    heard.add(channel)
                    self._set(channel)  # whatever was notified while we were away
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_SECONDS):
                        await self._more.wait()
                await connection.execute("SELECT 1")
        finally:
            with contextlib.suppress(*UNAVAILABLE):
                await connection.close(timeout=1)

    def _notified(self, _connection: Connection, _pid: int, channel: str, _payload: object) -> None:
        self._set(Channel(channel))

    def _set(self, channel: Channel) -> None:
        for event in self._events.get(channel, ()):
            event.set()


@contextlib.asynccontextmanager
async def open_wakeups(dsn: str, service: str) -> AsyncIterator[Wakeups]:
    """Run a listener for as long as the block lasts."""
    wakeups = Wakeups(dsn, service)
    task = asyncio.create_task(wakeups.run(), name="wakeups")
    try:
        yield wakeups
    finally:
        await end(task)
