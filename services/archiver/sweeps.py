"""Owns the archiver's periodic work: lanes that lease jobs and carry them, and the sweep for jobs that are missing."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog

from libs.common.database import UNAVAILABLE, Channel, Database
from libs.common.fault_points import reach
from libs.common.objects import ObjectError
from services.archiver import storage
from services.archiver.domain.failures import MayPass
from services.archiver.storage import Job, Kind

LEASE_SECONDS: Final = 40.0  # how long a killed worker's job stays idle; renewed while the work goes on
RENEWALS_PER_LEASE: Final = 4
BACKOFF_SECONDS: Final = (2.0, 4.0, 8.0, 16.0, 30.0, 60.0)  # by tries; the last for all further ones
JITTER: Final = 0.2  # of it, either way: files of one provider must not come back together
MISSING_SECONDS: Final = 60.0  # delivered for so long without a job (§4.3)

Carry = Callable[[Job], Awaitable[None]]

_log = structlog.get_logger()


class Lane:
    """Carries at most `limit` jobs of one kind at once; a job that fails in a way that may pass comes back later."""

    def __init__(self, kind: Kind, limit: int, carry: Carry, *, database: Database, time_scale: float) -> None:
        self._kind: Kind = kind
        self._limit = limit
        self._carry = carry
        self._database = database
        self._scale = time_scale
        self._tasks: set[asyncio.Task[None]] = set()
        self.wake = asyncio.Event()

    async def turn(self) -> bool:
        """Take one due job, if there is a free hand."""
        if len(self._tasks) >= self._limit:
            return False
        async with self._database.connection() as connection:
            job = await storage.lease_job(connection, self._kind, LEASE_SECONDS * self._scale)
        if job is None:
            return False
        task = asyncio.create_task(self._work(job), name=f"archive-{self._kind}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return True

    async def close(self, seconds: float) -> None:
        """Let jobs in hand finish for so long, then give their leases back."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.wake.set()

    async def _work(self, job: Job) -> None:
        reach("after_lease")
        try:
            async with self._held(job):
                await self._carry(job)
        except asyncio.CancelledError:
            await self._give_back(job)
            raise
        except (MayPass, ObjectError) as pause:
            await self._postpone(job, pause)
        except UNAVAILABLE as error:
            await self._postpone(job, error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must neither end the lane nor spin on one job
            _log.exception("archive_failed", kind=job.kind, attempt=str(job.attempt_id))
            await self._postpone(job, error)

    @contextlib.asynccontextmanager
    async def _held(self, job: Job) -> AsyncIterator[None]:
        beat = asyncio.create_task(self._renew(job), name="archive-lease")
        try:
            yield
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)

    async def _renew(self, job: Job) -> None:
        lease = LEASE_SECONDS * self._scale
        while True:
            await asyncio.sleep(lease / RENEWALS_PER_LEASE)
            with contextlib.suppress(*UNAVAILABLE):  # the lease runs on; the next beat may find the database again
                async with self._database.connection() as connection:
                    if not await storage.renew_lease(connection, job, lease):
                        return  # done, or another's: both may finish, one of them stores

    async def _postpone(self, job: Job, reason: Exception) -> None:
        seconds = BACKOFF_SECONDS[min(job.tries, len(BACKOFF_SECONDS)) - 1]
        seconds *= self._scale * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter is no secret
        named = reason.reason if isinstance(reason, MayPass) else type(reason).__name__
        _log.warning("archive_postponed", kind=job.kind, attempt=str(job.attempt_id), reason=named, tries=job.tries)
        with contextlib.suppress(*UNAVAILABLE):  # else the lease runs out
            async with self._database.connection() as connection:
                await storage.postpone_job(connection, job, seconds)

    async def _give_back(self, job: Job) -> None:
        with contextlib.suppress(*UNAVAILABLE):
            async with self._database.connection() as connection:
                await storage.release_job(connection, job)


async def sweep_missing(database: Database, time_scale: float) -> bool:
    """Insert the jobs of delivered attempts that have none: their event was lost with a broker."""
    async with database.transaction() as connection:
        inserted = await storage.sweep_delivered(connection, MISSING_SECONDS * time_scale)
    if inserted:
        database.wake(Channel.ARCHIVE)
        _log.warning("archive_jobs_missing", inserted=inserted)
    return False
