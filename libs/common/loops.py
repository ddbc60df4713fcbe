"""Work that a process does again and again until it is told to stop, whatever one round raises."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog

from libs.common.database import UNAVAILABLE
from libs.common.health import Pulse
from libs.common.tasks import end

Work = Callable[[], Awaitable[bool]]
"""One round; true when there is more to do at once."""

AFTER_ERROR_SECONDS: Final = 1.0
BEAT_SECONDS: Final = 10.0  # a loop that waits is alive, and says so

_log = structlog.get_logger()


class Loops:
    """The background work of one process; its loops beat in the pulse that `/livez` asks, so that a hang shows."""

    def __init__(self, pulse: Pulse | None = None) -> None:
        self._pulse = pulse
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def add(self, name: str, work: Work, *, every: float, wake: asyncio.Event | None = None) -> None:
        """Start `work`, at once, then every `every` seconds or when `wake` is set, whichever comes first.

        A round must end within a minute, or `/livez` calls the process hung; longer work is a task of its own.
        """
        beat = self._beat(name)
        self._tasks.append(asyncio.create_task(self._repeat(name, work, every, wake, beat), name=name))

    async def stop(self, seconds: float) -> None:
        """Let rounds in hand finish for at most `seconds`, then cancel them."""
        self._stopping.set()
        if self._tasks:
            _done, late = await asyncio.wait(self._tasks, timeout=seconds)
            await asyncio.gather(*(end(task) for task in late))

    def _beat(self, name: str) -> Callable[[], None]:
        pulse = self._pulse
        return _silent if pulse is None else lambda: pulse.beat(name)

    async def _repeat(
        self, name: str, work: Work, every: float, wake: asyncio.Event | None, beat: Callable[[], None]
    ) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                beat()
                if wake is not None:
                    wake.clear()
                if not await self._round(name, work):
                    await _first_of(stopping, wake, every, beat)
        finally:
            stopping.cancel()
            if self._pulse is not None:
                self._pulse.forget(name)

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


async def _first_of(
    stopping: asyncio.Task[bool], wake: asyncio.Event | None, seconds: float, beat: Callable[[], None]
) -> None:
    waits: set[asyncio.Task[bool]] = {stopping}
    if wake is not None:
        waits.add(asyncio.create_task(wake.wait()))
    left = seconds
    done: set[asyncio.Task[bool]] = set()
    while left > 0 and not done:
        beat()
        done, _waiting = await asyncio.wait(waits, timeout=min(left, BEAT_SECONDS), return_when=asyncio.FIRST_COMPLETED)
        left -= BEAT_SECONDS
    for task in waits - {stopping}:
        task.cancel()


def _silent() -> None:
    """No pulse to beat in."""


@contextlib.asynccontextmanager
async def open_loops(drain_seconds: float, pulse: Pulse | None = None) -> AsyncIterator[Loops]:
    """Loops that are stopped, with a last chance to finish their round, when the block ends."""
    loops = Loops(pulse)
    try:
        yield loops
    finally:
        await loops.stop(drain_seconds)
