"""Owns time as the provider feels it: seconds that pass `speed` times faster than ours, or by hand in tests."""

import asyncio
import heapq
import itertools
import time

_TURNS = 60  # of the event loop: more than any chain of callbacks inside one process needs

_ROUNDING = 1e-9  # s: sums of the same parts may differ by this


class Clock:
    """The machine's clock; `now` counts provider seconds."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._began = time.monotonic()

    def now(self) -> float:
        return (time.monotonic() - self._began) * self.speed

    def monotonic(self) -> float:
        """Real seconds of this machine, comparable between its processes."""
        return time.monotonic()

    def wall(self) -> float:
        """Epoch seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Provider seconds; at once when there is nothing to wait for."""
        if seconds > 0:
            await asyncio.sleep(seconds / self.speed)


class HandClock(Clock):
    """Time that passes only when it is told to, for tests: no waiting, always the same order."""

    def __init__(self, speed: float = 1.0) -> None:
        super().__init__(speed)
        self._now = 0.0
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now / self.speed

    def wall(self) -> float:
        return 1_700_000_000.0 + self._now / self.speed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._numbers), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let provider seconds pass: whoever sleeps wakes in order, and finishes what it does before the next."""
        end = self._now + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end + _ROUNDING:
            self._now, _number, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await self.settle()
        self._now = end

    @staticmethod
    async def settle() -> None:
        """Let everything that can go on without time go on."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
