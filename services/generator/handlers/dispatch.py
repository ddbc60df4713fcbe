"""Claims and sends for one provider: several submissions at once, woken by the queue or by the next free slot."""

import asyncio
import contextlib
import time
from typing import Final

import asyncpg
import structlog

from libs.common import fault_points
from libs.common.database import UNAVAILABLE
from services.generator.domain.answers import Answer, Refused
from services.generator.domain.providers import Provider
from services.generator.handlers.claim import Claim, NoClaim, boot_clock, claim
from services.generator.handlers.reply import conclude
from services.generator.handlers.resources import Resources
from services.generator.storage import queue

LOOK_SECONDS: Final = 0.25  # §2.2: at most, whatever was or was not notified
LEAST_PAUSE_SECONDS: Final = 0.02  # a slot or row that another generator holds for the moment
AT_ONCE: Final = 40  # two windows' worth of slow replies
CONCLUDE_AGAIN_SECONDS: Final = 0.5
MAY_PASS: Final = (*UNAVAILABLE, asyncpg.PostgresError)  # whatever the database says: it may have ended a deadlock

_log = structlog.get_logger()


class Dispatcher:
    """The sender of one provider; `turn` is the round of a loop, `finish` waits for what is under way."""

    def __init__(self, resources: Resources, provider: Provider, wake: asyncio.Event) -> None:
        self._resources = resources
        self._provider = provider
        self._wake = wake
        self._room = asyncio.Semaphore(AT_ONCE)
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return self._provider.name

    async def turn(self) -> bool:
        """Claim one segment and send it in the background; true when another may be claimable at once."""
        if not await self._is_waiting():
            return await self._pause()
        await self._room.acquire()
        made: Claim | NoClaim = NoClaim.NOTHING
        try:
            made = await claim(self._resources, self._provider)
        finally:
            if not isinstance(made, Claim):
                self._room.release()
        if isinstance(made, Claim):
            self._send(made)
            return True
        return made is NoClaim.DROPPED or await self._pause()

    async def finish(self, seconds: float) -> None:
        """Wait for replies; what is not read by then is left to its lease and to the sweeps."""
        if self._sending:
            _done, late = await asyncio.wait(self._sending, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

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

    async def _is_waiting(self) -> bool:
        async with self._resources.database.connection() as connection:
            return await queue.is_waiting(connection, self._provider.name, self._resources.tracks)

    async def _pause(self) -> bool:
        """Sleep until a slot gets free or a back-off ends, if that is sooner than the loop's own look; true then."""
        resources = self._resources
        accounts = resources.roster.accounts_of(self._provider.name)
        async with resources.database.connection() as connection:
            seconds = await queue.pause_seconds(connection, self._provider.name, resources.tracks, accounts)
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
