"""Owns the lanes: a few connections, each of which writes down at once all the news that came while it was busy.

A commit costs the disk the same for one webhook and for thirty, and a round trip costs this process the same. Nothing
is delayed to be gathered: an idle lane takes what there is, were it one.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final
from uuid import UUID

from libs.common.database import Channel, Connection, Database
from libs.common.errors import Problem
from services.callback.handlers.writing import Asked, Chosen, Later, Told, write_alone, write_many
from services.callback.storage.growth import PLANS

LANES: Final = 2  # while one waits for the disk the other gathers; a third has nothing left to overlap with
BATCH: Final = 32  # webhooks in one commit: bounds how long the first of them waits for the last
MOST_WAITING: Final = 2048  # about a second's worth; of 64 KiB each at most, while a database that hangs answers nobody


class _Place:
    """One piece of news in the queue, and whoever waits for its answer."""

    __slots__ = ("answered", "asked")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answered: asyncio.Future[Told] = asyncio.get_running_loop().create_future()


class Lanes:
    """News goes in, its answer comes out when it is committed; in the order it came, as far as one segment goes."""

    def __init__(self, database: Database, late_after: timedelta) -> None:
        self._database = database
        self._late_after = late_after
        self._waiting: deque[_Place] = deque()
        self._busy: set[UUID] = set()  # segments whose news is being written: two at once would meet in the same rows
        self._idle: deque[asyncio.Future[None]] = deque()

    async def hear(self, asked: Asked) -> bool:
        """Write it down; whether it was fresh. Raises the problem of who may not say it, or the database's error."""
        if len(self._waiting) >= MOST_WAITING:
            raise Problem(503, "unavailable", "Too many wait already")
        place = _Place(asked)
        self._waiting.append(place)
        self._wake()
        answer = await place.answered
        if isinstance(answer, Problem):
            raise answer
        if isinstance(answer, Chosen):
            return await write_alone(self._database, answer, self._late_after)
        return answer

    async def run(self) -> None:
        """Be one lane. Its connection is kept, since to hand it back and take it again costs two round trips."""
        batch: Sequence[_Place] = ()
        try:
            while True:
                batch = batch or await self._gathered()
                try:
                    async with self._database.connection() as connection:
                        await connection.execute(PLANS)
                        while not connection.is_closed():
                            await self._serve(connection, batch)
                            batch = ()
                            batch = await self._gathered()
                except Exception as error:  # noqa: BLE001 - whoever waits is told; a lane outlives its connections
                    self._leave(batch, error)
                    batch = ()
        finally:
            self._leave(batch, ConnectionError("the service is closing"))

    def refuse_waiting(self) -> None:
        """Tell those in the queue that nobody will serve them."""
        while self._waiting:
            self._leave((self._waiting.popleft(),), ConnectionError("the service is closing"))

    async def _serve(self, connection: Connection, batch: Sequence[_Place]) -> None:
        answers, announced = await write_many(connection, [place.asked for place in batch], self._late_after)
        if announced:
            self._database.wake(Channel.OUTBOX)
        again: list[_Place] = []
        for place, answer in zip(batch, answers, strict=True):
            if answer is Later.AGAIN:
                again.append(place)
            elif not place.answered.done():
                place.answered.set_result(answer)
        self._waiting.extendleft(reversed(again))  # before younger news of their segments
        self._leave(batch)

    def _leave(self, batch: Iterable[_Place], error: Exception | None = None) -> None:
        for place in batch:
            self._busy.discard(place.asked.segment_id)
            if error is not None and not place.answered.done():
                place.answered.set_exception(error)

    async def _gathered(self) -> Sequence[_Place]:
        """What can be served now; waits until there is something."""
        while not (batch := self._take()):
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle
        return batch

    def _take(self) -> Sequence[_Place]:
        """The next of the queue; news of segments that another lane is at keeps its place."""
        batch: list[_Place] = []
        passed: list[_Place] = []
        mine: set[UUID] = set()  # of one segment there may be many, as when somebody guesses at its token
        while self._waiting and len(batch) < BATCH:
            place = self._waiting.popleft()
            segment_id = place.asked.segment_id
            if segment_id in self._busy and segment_id not in mine:
                passed.append(place)
            elif not place.answered.done():
                mine.add(segment_id)
                self._busy.add(segment_id)
                batch.append(place)
        self._waiting.extendleft(reversed(passed))
        return batch

    def _wake(self) -> None:
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)
                return


@asynccontextmanager
async def open_lanes(database: Database, late_after: timedelta, count: int = LANES) -> AsyncIterator[Lanes]:
    """So many lanes that run while the block does."""
    lanes = Lanes(database, late_after)
    running = [asyncio.create_task(lanes.run(), name=f"lane-{number}") for number in range(count)]
    try:
        yield lanes
    finally:
        for lane in running:
            lane.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        lanes.refuse_waiting()
