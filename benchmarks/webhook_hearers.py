"""Owns who hears webhooks in `benchmarks.callback`: our callback service and its peers, and firing at one of them."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
import psutil

from benchmarks.peers.restate_server import start_restate
from benchmarks.rig.servers import Program, Rig
from benchmarks.webhook_load import STAGES
from stack.embedded.ports import free_port
from stack.embedded.processes import Running

CLOSED_CONNECTIONS: Final = 16
OPEN_CONNECTIONS: Final = 64
MOST_PER_SECOND: Final = 8_000  # what is prepared for a closed loop
CALLBACK: Final = "/callback?segment={segment}&token={token}"

# One run, segment and attempt each, as create and generator leave them; ids as webhook_load makes them.
FILL: Final = """
WITH n AS (SELECT generate_series($1::int, $2::int) AS i),
r AS (INSERT INTO parcours_runs (id, user_id, preset_key)
      SELECT md5($3 || 'run' || i)::uuid, md5('user' || i % 100)::uuid, 'panique-anxiete' FROM n),
s AS (INSERT INTO parcours_segments (id, run_id, segment_index, status, callback_token, requested_at)
      SELECT md5($3 || 'segment' || i)::uuid, md5($3 || 'run' || i)::uuid, 0, 'generating',
             md5($3 || 'token' || i)::uuid, now() FROM n)
INSERT INTO segment_attempts (segment_id, user_id, attempt_no, provider, account, slot_no, token_sha256, rank)
SELECT md5($3 || 'segment' || i)::uuid, md5('user' || i % 100)::uuid, 1, 'suno', 'suno-1', 1,
       sha256((md5($3 || 'token' || i)::uuid)::text::bytea), 1 FROM n
"""


@dataclass
class Pass:
    """One loop over one participant."""

    rate: float  # answered a second
    times: list[float]  # ms
    answered: int
    lost: int  # refused, unanswered, or not fresh
    processor: dict[str, float]  # µs a webhook, by whose


@dataclass
class Participant:
    """Somebody who hears webhooks: where, and what is kept before the answer."""

    name: str
    keeps: str
    port: int
    target: str
    processes: Callable[[], dict[str, list[psutil.Process]]]
    fill: Callable[[str, int], Awaitable[None]] | None = None  # seed, number of attempts
    closed: list[Pass] = field(default_factory=list)
    opened: list[Pass] = field(default_factory=list)

    async def hear(self, seed: str, seconds: float, rate: float) -> Pass:
        """Fire webhooks for so many seconds."""
        await self.prepare(seed, seconds, rate)
        return await self.fire(seed, seconds, rate)

    async def prepare(self, seed: str, seconds: float, rate: float) -> None:
        """Let there be attempts that the webhooks of `seed` are news of."""
        if self.fill is not None:
            await self.fill(seed, _attempts(seconds, rate))

    async def fire(self, seed: str, seconds: float, rate: float) -> Pass:
        """The webhooks alone."""
        attempts = _attempts(seconds, rate)
        connections = OPEN_CONNECTIONS if rate else CLOSED_CONNECTIONS
        job = {"port": self.port, "target": self.target, "seed": seed, "begin": 1, "attempts": attempts}
        job |= {"connections": connections, "seconds": seconds, "rate": rate}
        before = {who: _worked(processes) for who, processes in self.processes().items()}
        found = await _fire(job)
        after = {who: _worked(processes) for who, processes in self.processes().items()}
        answered = found["answered"]
        processor = {who: (after[who] - before[who]) / max(1, answered) * 1e6 for who in after}
        processor["load generator"] = found["processor_seconds"] / max(1, answered) * 1e6
        lost = found["refused"] + found["unanswered"] + found["skipped"]
        return Pass(answered / found["seconds"], found["times"], answered, lost, processor)


def _attempts(seconds: float, rate: float) -> int:
    return int(seconds * (rate or MOST_PER_SECOND) / len(STAGES)) + 100


async def _fire(job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.webhook_load", orjson.dumps(job).decode()]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    told, _ = await process.communicate()
    if process.returncode != 0:
        raise ChildProcessError(f"the load generator ended with status {process.returncode}")
    found: dict[str, Any] = orjson.loads(told)
    return found


def _worked(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running())


def _family(*pids: int) -> list[psutil.Process]:
    heads = [psutil.Process(pid) for pid in pids]
    return heads + [child for head in heads for child in head.children(recursive=True)]


def _postgres(folder: Path) -> list[psutil.Process]:
    """The rig's own server and its backends; others may run on this machine."""
    pid = int((folder / "postgres" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
    return _family(pid)


async def start_ours(rig: Rig, lanes: int | None = None) -> Participant:
    """One worker; with another number of lanes than it has by itself, beside the one that is judged."""
    dsn = await rig.database("ours" if lanes is None else f"ours{lanes}")
    chosen = {} if lanes is None else {"CALLBACK_LANES": str(lanes)}
    running = await rig.service("callback", {"DATABASE_URL": dsn, "LOG_LEVEL": "warning"} | chosen)

    async def fill(seed: str, attempts: int) -> None:
        connection = await asyncpg.connect(dsn, timeout=10)
        await connection.execute(FILL, 1, attempts, seed, timeout=120)
        await connection.execute("VACUUM ANALYZE", timeout=120)
        await connection.execute("CHECKPOINT", timeout=120)
        await connection.close()

    return Participant(
        "ours" if lanes is None else f"ours, {lanes} lanes",
        "inbox, facts, status, outbox: PostgreSQL, fsync",
        _port(running),
        CALLBACK,
        lambda: {"worker": _family(running.pid), "PostgreSQL": _postgres(rig.folder)},
        fill,
    )


async def start_procrastinate(rig: Rig) -> Participant:
    dsn = await rig.database("procrastinate", migrated=False)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.peers.webhook_procrastinate:app", "--port", str(port)]
    command += ["--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools"]
    running = await rig.program(Program("procrastinate", command, port, {"BENCH_DATABASE": dsn}))
    return Participant(
        "procrastinate behind FastAPI",
        "a job with the body: PostgreSQL, fsync",
        port,
        CALLBACK,
        lambda: {"worker": _family(running.pid), "PostgreSQL": _postgres(rig.folder)},
    )


async def start_ingress(rig: Rig) -> Participant:
    restate, service = await start_restate(rig), free_port()
    command = [sys.executable, "-m", "hypercorn", "benchmarks.peers.webhook_restate:app"]
    command += ["--bind", f"127.0.0.1:{service}", "--worker-class", "uvloop", "--log-level", "error"]
    running = await rig.program(Program("restate-service", command, service))
    await restate.register(f"http://127.0.0.1:{service}")
    server = next(
        each for each in psutil.process_iter(["cmdline"]) if str(rig.folder / "restate") in _environment(each)
    )
    return Participant(
        "Restate ingress",
        "the body: its own log",
        int(restate.ingress.rpartition(":")[2]),
        "/Callback/hear/send",
        lambda: {"worker": _family(running.pid), "server": _family(server.pid)},
    )


def _environment(process: psutil.Process) -> str:
    try:
        return process.environ().get("RESTATE_BASE_DIR", "")
    except psutil.Error:
        return ""


def _port(running: Running) -> int:
    return int(running.server.port)  # type: ignore[attr-defined]  # a ServiceProcess


MAKERS: Final[dict[str, tuple[Callable[[Rig], Awaitable[Participant]], tuple[str, ...]]]] = {
    "ours": (start_ours, ()),
    "procrastinate": (start_procrastinate, ("procrastinate", "psycopg")),
    "restate": (start_ingress, ("restate", "hypercorn")),
}
