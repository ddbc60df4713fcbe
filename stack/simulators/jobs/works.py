"""Owns the life of jobs: accepted, run, done or failed, called back; one provider's ways are a subclass."""

import asyncio
import hashlib
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx

from stack.simulators.jobs.faults import SHARED, Fault, FaultBook
from stack.simulators.jobs.job import Job
from stack.simulators.jobs.settings import Settings
from stack.simulators.suno.clock import Clock
from stack.simulators.suno.ledger import Ledger
from stack.simulators.suno.sound import Sound

STALE_SECONDS = 3600.0
CREDITS = 1000.0  # US dollars at the start; nobody runs out of them but by a fault


class Works:
    """Everything a stand-in knows; in memory, gone with the process but for its ledger file."""

    kinds: ClassVar[Mapping[str, Mapping[str, object]]] = SHARED

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        self.settings = settings
        self.http = http
        self.clock = Clock(settings.speed)
        self.sound = Sound.read(settings.audio) if settings.audio else Sound.silence()
        self.ledger = Ledger(self.clock, settings.ledger)
        self.chance = Random(settings.seed)  # noqa: S311 - seeded, no secret
        self.faults = FaultBook(self.kinds, self.chance)
        self.origin = settings.origin
        self.jobs: dict[str, Job] = {}
        self._running: set[asyncio.Task[None]] = set()

    # --- what a provider does its own way ---

    def news(self, job: Job, stage: str) -> Mapping[str, Any]:
        """The body of a callback."""
        raise NotImplementedError

    def signed(self, job: Job, body: bytes, timestamp: int, *, wrong: bool) -> dict[str, str]:
        """The headers that sign it."""
        raise NotImplementedError

    def told_at(self) -> tuple[str, ...]:
        """The stages that are called back, of `started` and `done`."""
        raise NotImplementedError

    def word(self, job: Job) -> str:
        """Its state in the provider's word."""
        raise NotImplementedError

    def end(self, job: Job) -> None:
        """Decide how it ends."""
        raise NotImplementedError

    def price(self, seconds: float) -> float:
        """What a file of that length costs, in US dollars."""
        raise NotImplementedError

    # --- jobs ---

    def accept(self, *, job_id: str, key: str, model: str, wish: dict[str, Any], webhook: str, seconds: float) -> Job:
        """Stamp and charge it; it begins when `begin` is called."""
        job = Job(
            id=job_id,
            account=hashlib.sha256(key.encode()).hexdigest()[:8],
            model=model,
            input=wish,
            webhook=webhook,
            segment=segment_of(webhook),
            seconds=seconds,
            accepted_at=self.clock.wall(),
            stamped_at=self.clock.monotonic(),
            charged=self.price(seconds),
        )
        self.jobs[job.id] = job
        self.ledger.note(
            "accepted", account=job.account, taskId=job.id, segment=job.segment, model=model, charged=job.charged
        )
        return job

    def begin(self, job: Job) -> None:
        self._spawn(self._run(job))

    async def finish_now(self, job: Job) -> None:
        """Done at once, and told before its submission is answered."""
        await self._done(job)

    async def _run(self, job: Job) -> None:
        await self.clock.sleep(self.settings.started_after)
        job.state = "running"
        if "started" in self.told_at():
            self._spawn(self._tell(job, "started"))
        if self.faults.first(job, "stuck"):
            return
        await self.clock.sleep(self.settings.done_after - self.settings.started_after)
        await self._done(job)

    async def _done(self, job: Job) -> None:
        self.end(job)
        job.state = "failed" if job.ending else "done"
        self.ledger.note("status", account=job.account, taskId=job.id, status=self.word(job))
        await self._tell(job, "done")

    async def _tell(self, job: Job, stage: str) -> None:
        if self.settings.callbacks == "none" or self.faults.first(job, "drop_callback"):
            return
        late = self.faults.first(job, "late_callback")
        await self.clock.sleep(late["seconds"] if late else 0.0)
        twice = self.faults.first(job, "duplicate_callback")
        forged = self.faults.first(job, "forged")
        for _ in range(twice["count"] if twice else 1):
            await self._deliver(job, stage, forged)

    async def _deliver(self, job: Job, stage: str, forged: Fault | None) -> None:
        for pause in (0.0, *self.settings.retries):
            await self.clock.sleep(pause)
            status = await self._post(job, stage, forged)
            name = "start" if stage == "started" else "error" if job.ending else "complete"
            at = self.ledger.note("callback", account=job.account, taskId=job.id, stage=name, status=status)
            job.callbacks.append({"stage": name, "status": status, "at": at})
            if httpx.codes.is_success(status):
                return

    async def _post(self, job: Job, stage: str, forged: Fault | None) -> int:
        how = forged["how"] if forged else None
        body = httpx.Request("POST", job.webhook, json=self.news(job, stage)).content
        timestamp = int(self.clock.wall() - (STALE_SECONDS if how == "stale" else 0.0))
        headers = {} if how == "missing" else self.signed(job, body, timestamp, wrong=how == "wrong")
        if how == "body":
            body = body.replace(job.id.encode(), b"0" * len(job.id))
        try:
            async with asyncio.timeout(self.settings.answer_seconds):
                sent = await self.http.post(
                    job.webhook, content=body, headers=headers | {"content-type": "application/json"}
                )
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return 0
        return sent.status_code

    # --- control ---

    def report(self) -> dict[str, Any]:
        charged = sum(job.charged - job.refunded for job in self.jobs.values())
        return {
            "accepted": [job.row(self.word(job)) for job in self.jobs.values()],
            "refused": dict(self.ledger.refused),
            "refusals": list(self.ledger.refusals),
            "polls": self.ledger.polls,
            "credits": round(CREDITS - charged, 4),
        }

    def reset(self) -> None:
        """Forget jobs, faults and ledger; what runs ends silently."""
        self.stop()
        self.jobs.clear()
        self.faults.replace([])
        self.ledger.forget()
        self.ledger.note("reset")

    def stop(self) -> None:
        for task in list(self._running):
            task.cancel()

    def _spawn(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def segment_of(webhook: str) -> str:
    """The segment that the webhook's address names."""
    return (parse_qs(urlsplit(webhook).query).get("segment") or [""])[0]


def seconds_asked(wish: Mapping[str, Any], default: float) -> float:
    """The length that a model's input asks for, in whichever field it has."""
    if isinstance(wish.get("music_length_ms"), int | float):
        return float(wish["music_length_ms"]) / 1000
    named = (wish.get(name) for name in ("duration", "seconds_total"))
    return next((float(value) for value in named if isinstance(value, int | float)), default)
