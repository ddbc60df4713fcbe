"""Work that a process does again and again until it is told to stop, whatever one round raises."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog

from libs.common.database import UNAVAILABLE

Work = Callable[[], Awaitable[bool]]
"""One round; true when there is more to do at once."""

AFTER_ERROR_SECONDS: Final = 1.0

_log = structlog.get_logger()


class Loops:
    """The background work of one process; knows when each loop last turned, which `/livez` asks."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._turned: dict[str, float] = {}
        self._stopping = asyncio.Event()

    def add(self, name: str, work: Work, *, every: float, wake: asyncio.Event | None = None) -> None:
        """Start `work`, at once, then every `every` seconds or when `wake` is set, whichever comes first."""
        self._turned[name] = time.monotonic()
        self._tasks.append(asyncio.create_task(self._repeat(name, work, every, wake), name=name))

    def seconds_since_turn(self) -> float:
        """Age of the loop that turned longest ago; 0 without loops."""
        now = time.monotonic()
        return max((now - at for at in self._turned.values()), default=0.0)

    async def stop(self, seconds: float) -> None:
        """Let rounds in hand finish for at most `seconds`, then cancel them."""
        self._stopping.set()
        if self._tasks:
            _done, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, name: str, work: Work, every: float, wake: asyncio.Event | None) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                if wake is not None:
                    wake.clear()
                more = await self._round(name, work)
                self._turned[name] = time.monotonic()
                if not more:
                    await _first_of(stopping, wake, every)
        finally:
            stopping.cancel()

    async def _round(self, name: str, work: Work) -> bool:
        try:
            return await work()
        except UNAVAILABLE as error:
            _log.warning("loop_unavailable", loop=name, error_class=type(error).__name__)
        except Exception:  # noqa: BLE001 - a round that fails must not end the loop; it is logged and tried again
            _log.exception("loop_failed", loop=name)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), AFTER_ERROR_SECONDS)
        return False


async def _first_of(stopping: asyncio.Task[bool], wake: asyncio.Event | None, seconds: float) -> None:
    waits: set[asyncio.Task[bool]] = {stopping}
    if wake is not None:
        waits.add(asyncio.create_task(wake.wait()))
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in waits - {stopping}:
        task.cancel()


@contextlib.asynccontextmanager
async def open_loops(drain_seconds: float) -> AsyncIterator[Loops]:
    """Loops that are stopped, with a last chance to finish their round, when the block ends."""
    loops = Loops()
    try:
        yield loops
    finally:
        await loops.stop(drain_seconds)
