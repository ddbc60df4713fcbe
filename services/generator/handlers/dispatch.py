"""Claims and sends for one provider: several submissions at once, woken by the queue or by the next free slot."""

import asyncio
import contextlib
import time
from typing import Final

import asyncpg
import structlog

from libs.common import fault_points
from libs.common.database import UNAVAILABLE, Connection
from services.generator.domain.answers import Answer, Refused
from services.generator.domain.clock_watch import ClockWatch
from services.generator.domain.providers import Provider
from services.generator.handlers.claim import Claim, NoClaim, boot_clock, claim_on
from services.generator.handlers.reply import conclude
from services.generator.handlers.resources import Resources
from services.generator.storage import accounts, queue

LOOK_SECONDS: Final = 0.25  # §2.2: at most, whatever was or was not notified
LEAST_PAUSE_SECONDS: Final = 0.02  # a slot or row that another generator holds for the moment
AT_ONCE: Final = 40  # two windows' worth of slow replies
CONCLUDE_AGAIN_SECONDS: Final = 0.5
MAY_PASS: Final = (*UNAVAILABLE, asyncpg.PostgresError)  # whatever the database says: it may have ended a deadlock

_log = structlog.get_logger()


class Dispatcher:
    """The sender of one provider; `turn` is the round of a loop, `finish` waits for what is under way."""

    def __init__(self, resources: Resources, provider: Provider, wake: asyncio.Event, watch: ClockWatch) -> None:
        self._resources = resources
        self._watch = watch
        self._provider = provider
        self._wake = wake
        self._room = asyncio.Semaphore(AT_ONCE)
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return self._provider.name

    async def turn(self) -> bool:
        """Claim what can be claimed, each sent in the background; true when more may be claimable at once."""
        async with self._resources.database.connection() as connection:
            if await self._is_waiting(connection):
                for _ in range(AT_ONCE):
                    if await self._claim_one(connection) is NoClaim.NOTHING:
                        break
                else:
                    return True
            seconds = await self._pause_seconds(connection)
        return await self._pause(seconds)

    async def finish(self, seconds: float) -> None:
        """Wait for replies; what is not read by then is left to its lease and to the sweeps."""
        if self._sending:
            _done, late = await asyncio.wait(self._sending, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _claim_one(self, connection: Connection) -> Claim | NoClaim:
        await self._room.acquire()
        made: Claim | NoClaim = NoClaim.NOTHING
        try:
            made = await claim_on(connection, self._resources, self._provider)
        finally:
            if not isinstance(made, Claim):
                self._room.release()
        if isinstance(made, Claim):
            self._send(made)
        return made

    def _send(self, made: Claim) -> None:
        task = asyncio.create_task(self._submit(made), name=f"submit-{made.attempt_id}")
        self._sending.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("submission_broke", exc_info=error)

    async def _submit(self, made: Claim) -> None:
        fault_points.reach("after_claim")
        began = time.perf_counter()
        answer = await self._ask(made)
        await _conclude_surely(self._resources, made, answer, time.perf_counter() - began)
        fault_points.reach("after_reply_commit")

    async def _ask(self, made: Claim) -> Answer:
        if boot_clock() - made.claimed_at > self._resources.clock.send_budget:
            return Refused(made.provider.verdicts.judge("transport", "too_late"), replied=True)
        fault_points.reach("before_send")
        answer = await self._resources.music.generate(made.account, made.brief, made.token)
        fault_points.reach("reply_read")
        return answer

    async def _is_waiting(self, connection: Connection) -> bool:
        """Look at the queue, and on the way at the clock by which slots get free."""
        before = boot_clock()
        is_waiting, now = await queue.look(connection, self._provider.name, self._resources.tracks)
        step = self._watch.step(before, now, boot_clock())
        if step:
            async with connection.transaction():
                await accounts.freeze_after_step(connection, self._resources.roster.account_names)
            _log.error("database_clock_stepped", seconds=round(step, 3))
        return is_waiting and not step

    async def _pause_seconds(self, connection: Connection) -> float | None:
        resources = self._resources
        names = resources.roster.accounts_of(self._provider.name)
        return await queue.pause_seconds(connection, self._provider.name, resources.tracks, names)

    async def _pause(self, seconds: float | None) -> bool:
        """Sleep until a slot gets free or a back-off ends, if that is sooner than the loop's own look; true then."""
        if seconds is None or seconds >= LOOK_SECONDS:
            return False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), max(seconds, LEAST_PAUSE_SECONDS))
        return True


async def _conclude_surely(resources: Resources, made: Claim, answer: Answer, seconds: float) -> None:
    """An id that we know must not be forgotten: write it as soon as the database lets us."""
    give_up_at = boot_clock() + made.provider.terms.lease_seconds  # then the sweeps have taken over
    while True:
        try:
            await conclude(resources, made, answer, seconds)
        except MAY_PASS as error:
            _log.warning("reply_not_written", attempt_id=str(made.attempt_id), error_class=type(error).__name__)
            if boot_clock() > give_up_at:
                return
            await asyncio.sleep(CONCLUDE_AGAIN_SECONDS)
        else:
            return
