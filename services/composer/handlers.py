"""Owns the life of a job: queue its files, tell its listener text, first, complete, and forget it in time."""

import asyncio
import itertools
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog

from services.composer.clients import CallbackSender, UndeliveredError
from services.composer.dialect import Code, RefusedError, Status, envelope, order_of
from services.composer.files import GrowingFile, RenderFailedError
from services.composer.jobs import TAKES, Job, JobTable
from services.composer.pool import RenderPool
from services.composer.wire import Kind

_MESSAGES = {
    "text": "Text generated successfully.",
    "first": "First audio generated successfully.",
    "complete": "All generated successfully.",
}

_log = structlog.get_logger()


class Studio:
    """What the routes ask; holds the jobs and the tasks that live with them."""

    def __init__(self, pool: RenderPool, sender: CallbackSender, folder: Path, *, max_jobs: int) -> None:
        self._pool = pool
        self._sender = sender
        self._folder = folder
        self._max_jobs = max_jobs
        self._jobs = JobTable()
        self._numbers = itertools.count(1)
        self._lives: set[asyncio.Task[None]] = set()

    def submit(self, body: object, base_url: str) -> str:
        """Accept an order and return its task id; raises RefusedError."""
        order = order_of(body)
        if (known := self._jobs.continuing(order)) is not None:  # whoever asked before was killed, or grew impatient
            return known.task_id
        if self._jobs.unfinished >= self._max_jobs:
            raise RefusedError(Code.TOO_MANY, "called too often, try later")
        job = Job(order, next(self._numbers), self._folder, base_url)
        self._jobs.add(job)
        self._live(self._perform(job))
        return job.task_id

    def record(self, task_id: str) -> dict[str, Any]:
        """The data of `record-info`; a task this process does not know has failed, since jobs live with the process."""
        if not task_id:
            raise RefusedError(Code.BAD_PARAMETERS, "taskId cannot be null")
        job = self._jobs.get(task_id)
        if job is None:
            return _record(task_id, "", [], Status.GENERATE_AUDIO_FAILED, "unknown task")
        items = [] if job.status is Status.PENDING or job.error else job.camel_items(_finished_takes(job.status))
        return _record(task_id, job.parameters(), items, job.status, job.error)

    def file(self, task_id: str, take: int, kind: Kind) -> GrowingFile | None:
        """A file of a known job, rendered from now on if nobody asked for it before."""
        job = self._jobs.get(task_id)
        return job.file(take, kind, self._pool) if job is not None and take < TAKES else None

    async def expire(self, keep_seconds: float, keep_count: int) -> None:
        """Forget old jobs and remove their files."""
        for job in self._jobs.expire(keep_seconds, keep_count):
            self._pool.forget(job.number)
            for file in job.files.values():
                await asyncio.to_thread(file.path.unlink, missing_ok=True)

    async def close(self) -> None:
        """Tell nobody anything more, and let no download wait for a file that will not come."""
        lives = tuple(self._lives)
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        for file in self._jobs.files():
            if not file.is_whole:
                file.fail("the service stops")

    async def _perform(self, job: Job) -> None:
        """Text when rendering begins, first when there is something to hear, complete when the file is whole."""
        final = None
        try:
            if not job.order.plan.from_seconds:  # a continuation has no preview
                preview = job.file(0, "preview", self._pool)
                final = job.file(0, "final", self._pool)
                job.status = Status.TEXT_SUCCESS
                await self._tell(job, "text", 0)
                await preview.wait_for_bytes()
                job.status = Status.FIRST_SUCCESS
                await self._tell(job, "first", 1)
            final = final or job.file(0, "final", self._pool)
            await final.wait_until_whole()
        except RenderFailedError as error:
            job.finish(Status.GENERATE_AUDIO_FAILED, str(error))
            await self._tell(job, "error", 0)
            return
        job.finish(Status.SUCCESS)
        await self._tell(job, "complete", TAKES)

    async def _tell(self, job: Job, stage: str, finished_takes: int) -> None:
        """One try in order; repeats go on beside the next stages, so a deaf listener delays nothing."""
        if not job.order.callback_url:
            return
        failed = stage == "error"
        code = Code.GENERATION_FAILED if failed else Code.OK
        data = None if failed else job.items(finished_takes)
        news = {"callbackType": stage, "task_id": job.task_id, "data": data}
        body = envelope(news, code, job.error or "" if failed else _MESSAGES[stage])
        if not await self._sender.try_once(job.order.callback_url, body):
            self._live(self._repeat(job, stage, body))

    async def _repeat(self, job: Job, stage: str, body: dict[str, Any]) -> None:
        try:
            await self._sender.repeat(job.order.callback_url, body)
        except UndeliveredError:
            _log.warning("callback_undelivered", task_id=job.task_id, stage=stage)
            if stage == "complete":
                job.status = Status.CALLBACK_EXCEPTION  # the reseller's word for: the audio is there, nobody took it

    def _live(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._lives.add(task)
        task.add_done_callback(self._lives.discard)


def _finished_takes(status: Status) -> int:
    return {Status.TEXT_SUCCESS: 0, Status.FIRST_SUCCESS: 1}.get(status, TAKES)


def _record(
    task_id: str,
    parameters: str,
    items: list[dict[str, Any]],
    status: Status,
    error: str | None,
) -> dict[str, Any]:
    failed = status is Status.GENERATE_AUDIO_FAILED
    return {
        "taskId": task_id,
        "parentMusicId": "",
        "param": parameters,
        "response": {"taskId": task_id, "sunoData": items},
        "status": status.value,
        "type": "GENERATE",
        "operationType": "generate",
        "errorCode": int(Code.GENERATION_FAILED) if failed else None,
        "errorMessage": error if failed else None,
    }
