"""Owns the load of `recovery` and what an outage is: runs asked for at a steady pace, and how late they were sent."""

import asyncio
import time
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final
from uuid import UUID, uuid4

from benchmarks import flow

PER_SECOND: Final = 2.0
AGAIN_SECONDS: Final = 0.1  # a client whose call failed tries again, with the same Idempotency-Key
LATE_SECONDS: Final = 1.0  # beyond the usual: dispatch is not normal


@dataclass
class Load:
    """People who ask, two a second, whatever goes down; each repeats until somebody answers."""

    port: int
    body: bytes
    token: Callable[[UUID], str]
    asked: dict[str, float] = field(default_factory=dict)  # segment → when it was meant to be asked for
    failed_calls: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Ask until cancelled."""
        loop, number = asyncio.get_running_loop(), 0
        began = loop.time()
        while True:
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - loop.time()))
            number += 1
            task = asyncio.create_task(self._ask(time.time()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settle(self, seconds: float) -> int:
        """Wait for calls that are still being repeated; how many nobody answered."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        return len(self._tasks)

    async def _ask(self, meant_at: float) -> None:
        key, token = str(uuid4()), self.token(uuid4())
        while True:
            try:
                segment = await flow.ask("127.0.0.1", self.port, self.body, token, key)
            except OSError:
                self.failed_calls += 1
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                self.asked[segment] = meant_at
                return


@dataclass(frozen=True, slots=True)
class Outage:
    """What one kill did. Seconds; `recovered`: from the kill until the last late run was sent, 0 if none was late."""

    killed: str
    recovered: float
    news: float  # the same for `first` callbacks: until the last late one was taken
    silence: float  # the longest time without any submission
    late: int

    def plain(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def usual(asked: Mapping[str, float], posted: Mapping[str, Sequence[float]], until: float) -> float:
    """The median delay of the runs asked for before the first kill."""
    delays = sorted(posted[each][0] - at for each, at in asked.items() if at < until and each in posted)
    return delays[len(delays) // 2] if delays else 0.0


def outage(
    killed: str, at: float, until: float, asked: Mapping[str, float], noted: Mapping[str, Any], normal: float
) -> Outage:
    """Judge the runs asked for between just before the kill and the next one."""
    posted, called, taken = noted["posted"], noted["called"], noted["taken"]
    mine = {each: meant for each, meant in asked.items() if at - LATE_SECONDS <= meant < until - LATE_SECONDS}
    late = [
        posted[each][0]
        for each, meant in mine.items()
        if each in posted and posted[each][0] > at and posted[each][0] - meant > normal + LATE_SECONDS
    ]
    slow = [
        taken[each] for each in mine if each in taken and taken[each] > at and taken[each] - called[each] > LATE_SECONDS
    ]
    stamps = sorted(stamp for each in posted.values() for stamp in each if stamp <= until)
    stamps = stamps[max(0, bisect(stamps, at) - 1) :]  # from the last one before the kill
    silence = max((after - before for before, after in pairwise(stamps)), default=0.0)
    recovered, news = max(late, default=at) - at, max(slow, default=at) - at
    return Outage(killed, recovered, news, silence, len(late))
