"""Owns how a peer is started: its workers, and what it is to do, as processes of the rig."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rig.errors import RigError
from benchmarks.rig.servers import Program, Rig, missing, node, npm_folder
from stack.embedded.places import CHECKOUT
from stack.embedded.processes import Running

WORKERS = 2
CALLS, WINDOW_SECONDS = 20, 10.0
Jobs = Sequence[tuple[str, int]]  # label, priority (1 is the most urgent, 0 none), in the order of arrival


@dataclass(frozen=True)
class Peer:
    """A participant that is not ours: what it needs, and how it limits."""

    name: str
    how: str
    package: str  # whose version is told
    modules: tuple[str, ...] = ()
    npm: bool = False
    redis: bool = True

    def lacks(self) -> str | None:
        """Why it cannot take part here; `None` when it can."""
        if lacking := missing(*self.modules):
            return f"{', '.join(lacking)} not installed (make setup-bench)"
        if self.npm:
            try:
                npm_folder()
            except RigError as error:
                return str(error)
        return None


LIMITERS = (
    Peer("limits-moving", "moving window in Redis", "limits", ("limits", "redis")),
    Peer("limits-fixed", "fixed window in Redis", "limits", ("limits", "redis")),
    Peer("pyrate-limiter", "bucket in Redis", "pyrate-limiter", ("pyrate_limiter", "redis")),
    Peer("throttled-py", "GCRA in Redis, burst 20", "throttled-py", ("throttled", "redis")),
    Peer("aiolimiter-full", "the whole quota in each process", "aiolimiter", ("aiolimiter",), redis=False),
    Peer("aiolimiter-split", "half of the quota in each process", "aiolimiter", ("aiolimiter",), redis=False),
)
CELERY = Peer("celery", "rate_limit 1/s in each of two workers", "celery", ("celery", "redis"))
CELERY_FAST = Peer("celery-2/s", "rate_limit 2/s in each of two workers", "celery", ("celery", "redis"))
DBOS = Peer("dbos", "queue limiter 20 in 10 s, PostgreSQL", "dbos", ("dbos",), redis=False)
BULLMQ = Peer("bullmq", "queue limiter 20 in 10 s, Redis", "bullmq (npm)", npm=True)


@dataclass
class Field:
    """Where one pass of a peer takes place."""

    rig: Rig
    name: str  # of the pass; unique in the rig
    provider: str
    database_number: int  # of Redis
    speed: float = 1.0

    @property
    def window(self) -> float:
        return WINDOW_SECONDS / self.speed

    def jobs_file(self, jobs: Jobs) -> Path:
        path = self.rig.folder / f"{self.name}-{len(jobs)}.json"
        path.write_text(json.dumps([list(job) for job in jobs]), encoding="utf-8")
        return path

    async def redis(self) -> str:
        return await self.rig.redis(self.database_number)


async def start_limiter(field: Field, peer: Peer, seconds: float) -> list[Running]:
    """Two processes that ask the provider as often as the library lets them, for so many seconds."""
    command = [sys.executable, "-m", "benchmarks.peers.limiters", peer.name, "--provider", field.provider]
    command += ["--seconds", str(seconds), *(("--redis", await field.redis()) if peer.redis else ())]
    return await _workers(field, command, {})


class QueuePeer:
    """A queue with workers: feed it, start its workers, feed it more."""

    def __init__(self, field: Field, peer: Peer) -> None:
        self._field = field
        self._peer = peer
        self._environment: dict[str, str] = {}
        self._calls = field.rig.folder / f"{field.name}.calls"

    async def prepare(self) -> None:
        """Make what it keeps its queue in."""
        field = self._field
        self._environment = {
            "BENCH_PROVIDER": field.provider,
            "BENCH_WINDOW": str(field.window),
            "BENCH_CALLS": str(self._calls),
        }
        if self._peer.redis:
            self._environment["BENCH_REDIS"] = await field.redis()
        if self._peer in (CELERY, CELERY_FAST):
            each = CALLS / field.window / (1 if self._peer is CELERY_FAST else WORKERS)
            self._environment["BENCH_RATE"] = f"{each:g}/s"
        if self._peer is DBOS:
            dsn = await field.rig.database(field.name, migrated=False)
            self._environment["BENCH_DATABASE"] = dsn
        if self._peer is BULLMQ:
            self._environment["BENCH_MODULES"] = str(npm_folder())

    def calls(self) -> dict[str, float]:
        """When each label's call left, epoch seconds."""
        lines = self._calls.read_text(encoding="utf-8").splitlines() if self._calls.exists() else []
        return {label: float(at) for label, _space, at in (line.partition(" ") for line in lines)}

    async def feed(self, jobs: Jobs) -> None:
        """Queue these calls, in this order; returns when all are queued."""
        command = [*self._program(), str(self._field.jobs_file(jobs))]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=CHECKOUT, env=os.environ | self._environment, stdout=asyncio.subprocess.DEVNULL
        )
        if await process.wait() != 0:
            raise RigError(f"{self._peer.name} could not be fed: status {process.returncode}")

    async def forget(self) -> None:
        """The next pass with this number of Redis's databases begins with an empty one."""
        if self._peer.redis:
            await forget(self._field)

    async def work(self) -> list[Running]:
        """Start the two workers."""
        if self._peer in (CELERY, CELERY_FAST):
            command = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_calls", "worker"]
            command += ["-P", "threads", "-c", "20", "-l", "error"]
            command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        else:
            command = [*self._program(), "work"]
        return await _workers(self._field, command, self._environment)

    def _program(self) -> list[str]:
        if self._peer is BULLMQ:
            return [node(), str(CHECKOUT / "benchmarks" / "peers" / "bullmq_calls.mjs")]
        module = "dbos_calls" if self._peer is DBOS else "celery_calls"
        return [sys.executable, "-m", f"benchmarks.peers.{module}"]


async def forget(field: Field) -> None:
    """Empty a pass's database of Redis."""
    from redis.asyncio import Redis

    client = Redis.from_url(await field.redis())
    await client.flushdb()
    await client.aclose()


async def _workers(field: Field, command: list[str], environment: dict[str, str]) -> list[Running]:
    programs = [Program(f"{field.name}-{number}", command, environment=environment) for number in range(WORKERS)]
    return [await field.rig.program(program) for program in programs]
