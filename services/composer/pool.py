"""Owns the worker processes: one per core, started and warmed before the first request, replaced when they die."""

import asyncio
import contextlib
import heapq
import itertools
import os
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from services.composer.engine.plan import SegmentPlan
from services.composer.files import GrowingFile
from services.composer.wire import COLD, Broken, Finished, Grown, Kind, Ready, RenderTask, next_report, packed

PREVIEWS_PER_WORKER = 1
FINALS_PER_WORKER = 1  # one stream of each kind bounds a worker's memory; the preview pre-empts the final
TRIES = 5  # workers that may die over a task: several at once cost it a try each, before their deaths are noticed
RESPAWN_SECONDS = 1.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_log = structlog.get_logger()


@dataclass(order=True)
class _Waiting:
    rank: tuple[int, int]
    task: RenderTask = field(compare=False)
    file: GrowingFile = field(compare=False)
    tries: int = field(default=0, compare=False)


@dataclass
class _Worker:
    """One process and what it has in hand."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    in_hand: dict[int, _Waiting] = field(default_factory=dict)

    def has_room(self, kind: Kind) -> bool:
        limit = PREVIEWS_PER_WORKER if kind == "preview" else FINALS_PER_WORKER
        return self.ready.is_set() and sum(job.task.kind == kind for job in self.in_hand.values()) < limit

    def give(self, job: _Waiting) -> None:
        self.in_hand[job.task.id] = job
        self.writer.write(packed(job.task))


class RenderPool:
    """Renders files in the order of their ranks; its processes start with `start` or with the first file.

    `warm` has each compute beforehand what the first preview would wait for; a single journey is sooner done without.
    """

    def __init__(self, workers: int, *, warm: bool = True) -> None:
        self._size = workers
        self._warm = warm
        self._workers: list[_Worker] = []
        self._waiting: dict[Kind, list[_Waiting]] = {"preview": [], "final": [], "sound": []}
        self._ids = itertools.count(1)
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Return when every worker is warm."""
        await asyncio.gather(*(event.wait() for event in self._begin()))

    def _begin(self) -> list[asyncio.Event]:
        """Start the processes; an event each, set when it is warm."""
        started = [asyncio.Event() for _ in range(self._size)]
        self._keepers = [asyncio.create_task(self._keep(event), name="worker") for event in started]
        return started

    async def stop(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def check(self) -> None:
        """Raises when no worker can take work, though work was expected."""
        if self._keepers and not any(worker.ready.is_set() for worker in self._workers):
            raise RuntimeError("expected a warm worker, found none")

    @property
    def worker_pids(self) -> tuple[int, ...]:
        return tuple(worker.process.pid for worker in self._workers)

    def render(
        self, plan: SegmentPlan, kind: Kind, path: Path, order: int, most_samples: int | None = None
    ) -> GrowingFile:
        """Queue a file; `order` is the age of its job, older first. Of a `sound` no more than `most_samples`."""
        file = GrowingFile(path)
        rank = (0 if kind == "preview" else 1, order)
        task = RenderTask(next(self._ids), plan, kind, str(path), rank, most_samples)
        heapq.heappush(self._waiting[kind], _Waiting(rank, task, file))
        if not self._keepers:
            self._begin()
        self._dispatch()
        return file

    def forget(self, order: int) -> None:
        """Drop what still waits for a job nobody wants any more."""
        for kind, queue in self._waiting.items():
            self._waiting[kind] = [job for job in queue if job.rank[1] != order]
            heapq.heapify(self._waiting[kind])

    def _dispatch(self) -> None:
        for kind, queue in self._waiting.items():
            while queue and (worker := self._freest(kind)):
                worker.give(heapq.heappop(queue))

    def _freest(self, kind: Kind) -> _Worker | None:
        free = [worker for worker in self._workers if worker.has_room(kind)]
        return min(free, key=lambda worker: len(worker.in_hand), default=None)

    async def _keep(self, started: asyncio.Event) -> None:
        """Keep one place of the pool filled."""
        while True:
            worker = await _spawn(warm=self._warm)
            self._workers.append(worker)
            try:
                await self._listen(worker, started)
            except (asyncio.IncompleteReadError, ConnectionError):
                _log.warning("worker_ended", exit_status=await worker.process.wait())
            finally:
                self._workers.remove(worker)
                await _end(worker)
            self._take_back(worker)
            await asyncio.sleep(RESPAWN_SECONDS)

    async def _listen(self, worker: _Worker, started: asyncio.Event) -> None:
        while True:
            report = await next_report(worker.reader)
            if isinstance(report, Ready):
                worker.ready.set()
                started.set()
            elif isinstance(report, Grown):
                worker.in_hand[report.id].file.grow(report.size)
                continue
            elif isinstance(report, Finished):
                job = worker.in_hand.pop(report.id)
                job.file.finish(report.size, report.sha256, report.measures)
            else:
                self._break(worker, report)
            self._dispatch()

    def _break(self, worker: _Worker, report: Broken) -> None:
        job = worker.in_hand.pop(report.id)
        _log.error("render_failed", kind=job.task.kind, error=report.error)
        job.file.fail(report.error)

    def _take_back(self, worker: _Worker) -> None:
        for job in worker.in_hand.values():
            job.tries += 1
            if job.tries < TRIES:
                heapq.heappush(self._waiting[job.task.kind], job)
            else:
                job.file.fail(f"{TRIES} worker processes died over it")
        worker.in_hand.clear()
        self._dispatch()


async def _spawn(*, warm: bool) -> _Worker:
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.composer.worker",
            str(theirs.fileno()),
            *(() if warm else (COLD,)),
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            env=os.environ | _ONE_THREAD,
        )
    reader, writer = await asyncio.open_connection(sock=ours)
    return _Worker(process, reader, writer)


async def _end(worker: _Worker) -> None:
    """Kill: a render has nothing to save, and its bytes come back in the next try."""
    worker.writer.close()
    with contextlib.suppress(ProcessLookupError):
        worker.process.kill()
    await worker.process.wait()
    with contextlib.suppress(ConnectionError):
        await worker.writer.wait_closed()
