"""Owns how news reach the streams of this process: it follows the outbox and hands each run's rows to its readers.

Ids of one run commit in order (`outbox.announce`), so per run `id > last` misses nothing. Ids of different runs do not:
a look at the newest rows only tells which runs to read, and once a second every followed run is read.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.database import Connection, Database
from services.gateway import storage

SWEEP_SECONDS = 1.0
FEW_RUNS = 64  # an index walk each, some 10 µs
TRAILING_SECONDS = 2.0  # a row whose transaction took so long to commit after its id was drawn is found by the sweep


@dataclass(frozen=True, slots=True)
class News:
    """A row of the outbox, as its readers need it."""

    id: int
    topic: str
    payload: dict[str, Any]
    at: datetime


class Reader:
    """The queue of one stream: bounded, and honest about what it dropped."""

    def __init__(self, run_id: UUID, capacity: int) -> None:
        self.run_id = run_id
        self.arrived = asyncio.Event()
        self._capacity = capacity
        self._queue: deque[News] = deque()
        self._dropped = 0

    def offer(self, item: News) -> None:
        """Queue an event; a full queue is emptied instead, and its reader starts again from a snapshot."""
        if self._dropped or len(self._queue) >= self._capacity:
            self._queue.clear()
            self._dropped = item.id
        else:
            self._queue.append(item)
        self.arrived.set()

    def take(self) -> tuple[list[News], int]:
        """Return what came since the last time, or up to which id it was dropped instead (0: nothing was)."""
        self.arrived.clear()
        items, dropped = list(self._queue), self._dropped
        self._queue.clear()
        self._dropped = 0
        return items, dropped


@dataclass(slots=True)
class _Followed:
    """A run with readers; `after` is None until the first of them knows where it stands."""

    after: int | None = None
    readers: set[Reader] = field(default_factory=set)


class ProgressFeed:
    """All readers of this process, served by one loop."""

    def __init__(self, database: Database, wake: asyncio.Event, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._wake = wake
        self._clock = clock
        self._followed: dict[UUID, _Followed] = {}
        self._fresh: set[UUID] = set()  # runs to read at the next turn, whatever the newest rows tell
        self._seen: deque[tuple[float, int]] = deque()  # when we looked, newest id then
        self._swept_at = float("-inf")
        self.closed = False

    def close(self) -> None:
        """Wake every reader for the last time: the process leaves."""
        self.closed = True
        for followed in self._followed.values():
            for reader in followed.readers:
                reader.arrived.set()

    def join(self, run_id: UUID, capacity: int) -> Reader:
        """Begin to collect a run's news; join before reading the snapshot, then nothing falls between the two."""
        reader = Reader(run_id, capacity)
        self._followed.setdefault(run_id, _Followed()).readers.add(reader)
        return reader

    def follow(self, reader: Reader, after: int) -> None:
        """Say up to which id the reader knows everything. It may be offered older rows again and must skip them."""
        followed = self._followed[reader.run_id]
        followed.after = after if followed.after is None else min(followed.after, after)
        self._fresh.add(reader.run_id)
        self._wake.set()

    def leave(self, reader: Reader) -> None:
        """End a reader; the last one of a run ends its following."""
        followed = self._followed.get(reader.run_id)
        if followed is None:
            return
        followed.readers.discard(reader)
        if not followed.readers:
            del self._followed[reader.run_id]
            self._fresh.discard(reader.run_id)

    async def turn(self) -> bool:
        """Look once; true when there is more to read at once."""
        if not self._followed:
            self._seen.clear()
            return False
        async with self._database.connection() as connection:
            runs = set(self._followed) if self._few() else await self._due(connection)
            known = [(run, last) for run in runs if (last := self._followed[run].after) is not None]
            if not known:
                return False
            rows = await storage.news(connection, known)
        positions = dict(known)
        for row in rows:
            run_id, item = row["key"], News(row["id"], row["topic"], row["payload"], row["created_at"])
            if self._hand_out(run_id, positions[run_id], item):
                positions[run_id] = item.id
        more = len(rows) == storage.PAGE_OF_NEWS
        if more:
            self._fresh |= {run for run, _ in known}
        return more

    def _few(self) -> bool:
        """Whether to read them all: for few it costs less than asking first which of them have news."""
        few = len(self._followed) <= FEW_RUNS
        if few:
            self._seen.clear()
            self._fresh.clear()
        return few

    async def _due(self, connection: Connection) -> set[UUID]:
        """Return the followed runs that may have news."""
        now = self._clock()
        if not self._seen:
            announced: dict[UUID, int] = {}
            newest = await storage.newest_event_id(connection)
        else:
            announced = await storage.announced_since(connection, self._seen[0][1])
            newest = max(announced.values(), default=self._seen[-1][1])
        fresh, self._fresh = self._fresh, set()
        sweep = not self._seen or now - self._swept_at >= SWEEP_SECONDS
        self._seen.append((now, newest))
        while len(self._seen) > 1 and self._seen[1][0] <= now - TRAILING_SECONDS:
            self._seen.popleft()
        if sweep:
            self._swept_at = now
            return set(self._followed)
        return {run for run in (*announced, *fresh) if run in self._followed}

    def _hand_out(self, run_id: UUID, read_after: int, item: News) -> bool:
        """Offer a row to the run's readers; false when one of them went back meanwhile: the next turn reads again."""
        followed = self._followed.get(run_id)
        if followed is None or followed.after != read_after:
            return False
        followed.after = item.id
        for reader in followed.readers:
            reader.offer(item)
        return True
