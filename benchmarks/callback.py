"""B4: webhooks that are durable before they are answered: a closed loop of 16 connections, an open loop of 500/s.

`python -m benchmarks.callback`. Ours is one worker of the callback service; every webhook is fresh news of its attempt
(text, first, complete, 2 kB each) and leaves inbox, facts, status and outbox behind. The peers only keep the body.
"""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import orjson
import psutil

from benchmarks.peers.restate_server import start_restate
from benchmarks.rig.figures import Spread, percentile, spread, turns
from benchmarks.rig.machine import Load, versions, watched_load
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Picture, Report, Table
from benchmarks.rig.servers import Program, Rig, missing, open_rig
from benchmarks.rig.stacks import profiled
from benchmarks.webhook_load import STAGES
from stack.embedded.ports import free_port
from stack.embedded.processes import Running

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLOSED_CONNECTIONS: Final = 16
OPEN_CONNECTIONS, OPEN_RATE = 64, 500.0
MOST_PER_SECOND: Final = 8_000  # what is prepared for a closed loop
WARM_SECONDS: Final = 2.0
PROFILE_SECONDS: Final = 4.0  # of load around a profile: nothing of its beginning and end is looked at
TARGET_RATE, TARGET_P99 = 2_500.0, 10.0  # webhooks/s, ms
N8N_RATE: Final = 220.0  # webhook executions/s, its vendor's figure on 2 cores
LOOP: Final = "event loop and sockets: uvloop"  # the frame that waits for it is the one that runs the service
GROUPS: Final = {  # of the worker's profile, by a part of the innermost frame's file name
    "asyncpg/": "asyncpg: the protocol of PostgreSQL",
    "services/callback/domain": "understanding the body, deciding",
    "services/callback/handlers": "gathering in lanes, what is written",
    "services/callback/storage": "gathering in lanes, what is written",
    "services/callback/routes": "our route: address, token, answer",
    "prometheus_client/": "metrics",
    "libs/common/metrics": "metrics",
    "libs/common/http": "shared middlewares",
    "libs/common/service": LOOP,
    "libs/common/": "pool of connections, news to wake others",
    "pydantic": "events as JSON",
    "starlette/": "Starlette and FastAPI",
    "fastapi/": "Starlette and FastAPI",
    "uvicorn/": "uvicorn and httptools: HTTP",
}
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
KEPT: Final = """
SELECT (SELECT count(*) FROM webhook_inbox) AS inbox, (SELECT count(*) FROM outbox) AS outbox,
       (SELECT count(*) FROM webhook_inbox WHERE stage <> 'text') AS announced
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
    profile: dict[str, float] | str = field(default_factory=dict)  # shares of the worker's time, or why there is none

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


async def measure(options: Options) -> tuple[list[Participant], list[str], Load, dict[str, int]]:
    """Everybody in turn, closed loop and open loop; who took no part and why; what our database holds in the end."""
    left_out: list[str] = []
    async with open_rig("callback") as rig:
        participants = []
        for name, (make, modules) in MAKERS.items():
            if lacking := missing(*modules):
                left_out.append(f"{name}: {', '.join(lacking)} not installed (make setup-bench)")
            elif options.takes_part(name):
                participants.append(await make(rig))
        participants += [await start_ours(rig, lanes) for lanes in options.more.lanes or ()]
        for each in participants:
            await each.hear(f"{options.seed}-warm-", WARM_SECONDS, 0)
        async with watched_load() as load:
            for number, each in enumerate(turns(participants, options.repeats)):
                print(f"{each.name}, pass {number // max(1, len(participants)) + 1}", file=sys.stderr, flush=True)
                each.closed.append(await each.hear(f"{options.seed}-{number}-closed-", options.seconds, 0))
                each.opened.append(await each.hear(f"{options.seed}-{number}-open-", options.seconds, OPEN_RATE))
            for each in participants:
                if each.name == "ours":
                    each.profile = await _profile(each, options, rig.folder)
        kept = await _kept(rig) if any(each.name == "ours" for each in participants) else {}
    return participants, left_out, load, kept


async def _profile(ours: Participant, options: Options, folder: Path) -> dict[str, float] | str:
    """What the worker's time goes to, in one more closed loop, which counts for nothing else."""
    worker = ours.processes()["worker"][0].pid
    seed, seconds = f"{options.seed}-profile-", options.seconds + PROFILE_SECONDS
    await ours.prepare(seed, seconds, 0)
    firing = asyncio.create_task(ours.fire(seed, seconds, 0))
    await asyncio.sleep(PROFILE_SECONDS / 2)
    found = await profiled(worker, options.seconds, GROUPS, folder)
    await firing
    return found


async def _kept(rig: Rig) -> dict[str, int]:
    server = await rig.postgres()
    connection = await asyncpg.connect(server.rpartition("/")[0] + "/ours", timeout=10)
    row = await connection.fetchrow(KEPT)
    await connection.close()
    return dict(row or {})


def report(
    options: Options, participants: list[Participant], left_out: list[str], load: Load, kept: dict[str, int]
) -> Report:
    told = Report(
        "callback",
        "B4: webhooks, durable before the answer",
        options,
        versions(["uvicorn", "uvloop", "asyncpg", "fastapi", "procrastinate", "restate-sdk"]),
    )
    table = Table(
        "2 kB webhooks; median of the passes (least–most)",
        [
            "who",
            "kept before the answer",
            "16 connections, per s",
            "p99 ms",
            "at 500/s: p50 ms",
            "p99 ms",
            "worst ms",
            "lost",
        ],
    )
    for each in participants:
        closed, opened = spread([p.rate for p in each.closed]), [p.times for p in each.opened]
        lost = sum(p.lost for p in each.closed + each.opened)
        cells = [_percentile(each.closed, 99), *(spread([percentile(t, at) for t in opened]) for at in (50, 99, 100))]
        table.add(each.name, each.keeps, closed.text(0), *(cell.text(1) for cell in cells), lost)
    table.add("n8n", "published by its vendor, 2 cores, other machine", f"{N8N_RATE:.0f}", "–", "–", "–", "–", "–")
    told.tables += [table, _processors(participants)]
    told.figures = {each.name: _plain(each) for each in participants} | {"load": str(load)}
    told.notes += [f"left out: {why}" for why in left_out]
    told.notes += [
        f"Machine while it ran: {load}; worker, PostgreSQL and load generator share its cores.",
        "Ours does more: each webhook is matched with its attempt by token, is fresh news, and changes five tables.",
        "Latency at 500/s counts from the moment a webhook was due, whether a connection was free or not.",
    ]
    ours = next((each for each in participants if each.name == "ours"), None)
    if ours is not None:
        _tell_profile(told, ours)
        _judge(told, ours, participants, kept)
    told.picture = Picture(lambda axes: _draw(axes, participants), "webhooks a second, durable before the answer")
    return told


def _percentile(passes: list[Pass], at: float) -> Spread:
    return spread([percentile(p.times, at) for p in passes])


def _processors(participants: list[Participant]) -> Table:
    table = Table("processor time of one webhook in the closed loop, µs (median)", ["who", "by whom", "µs", "sum"])
    for each in participants:
        parts = {who: spread([p.processor[who] for p in each.closed]).median for who in each.closed[0].processor}
        for who, microseconds in parts.items():
            table.add(each.name, who, f"{microseconds:.0f}", f"{sum(parts.values()):.0f}")
    return table


def _tell_profile(told: Report, ours: Participant) -> None:
    if isinstance(ours.profile, str):
        told.notes.append(f"no profile of the worker: {ours.profile}")
        return
    worker = spread([p.processor["worker"] for p in ours.closed]).median
    title = f"what our worker's {worker:.0f} µs a webhook go to; looked at in a closed loop of its own"
    table = Table(title, ["what", "share", "µs a webhook"])
    for name, share in ours.profile.items():
        table.add(name, f"{100 * share:.0f} %", f"{share * worker:.0f}")
    told.tables.append(table)
    told.notes.append(f"One worker that never waited would take {1e6 / worker:.0f} webhooks a second on this machine.")


def _plain(each: Participant) -> dict[str, Any]:
    def of(passes: list[Pass]) -> list[dict[str, Any]]:
        return [
            {"per_second": p.rate, "p50": percentile(p.times, 50), "p99": percentile(p.times, 99), "lost": p.lost}
            | {"answered": p.answered, "processor_us": p.processor}
            for p in passes
        ]

    return {"closed": of(each.closed), "open": of(each.opened)}


def _judge(told: Report, ours: Participant, participants: list[Participant], kept: dict[str, int]) -> None:
    rate, p99 = spread([p.rate for p in ours.closed]), _percentile(ours.opened, 99)
    told.judge("≥ 2,500 webhooks/s, 16 connections, one worker", rate.median >= TARGET_RATE, rate.text(0, "/s"))
    told.judge("p99 ≤ 10 ms at 500/s", p99.median <= TARGET_P99, p99.text(1, " ms"))
    told.judge("≥ 10× n8n's figure", rate.median >= 10 * N8N_RATE, f"{rate.median / N8N_RATE:.1f}×")
    lost = sum(p.lost for p in ours.closed + ours.opened)
    complete = kept.get("outbox") == kept.get("announced")
    told.judge("every answer was fresh news, with its event", lost == 0 and complete, f"{lost} lost, {kept}")
    for each in participants:
        if each.name.startswith("ours"):
            continue
        ratio = rate.median / spread([p.rate for p in each.closed]).median
        if each.name.startswith("Restate"):
            told.judge("≥ 3× Restate's ingress", ratio >= 3, f"{ratio:.1f}×")
        if ratio < 1:
            told.lose(f"{each.name} takes {1 / ratio:.1f}× as many webhooks a second")
        if (theirs := _percentile(each.opened, 99)).median < p99.median:
            told.lose(f"{each.name} answers at 500/s with p99 {theirs.text(1)} ms against {p99.text(1)} ms")


def _draw(axes: "Axes", participants: list[Participant]) -> None:
    from benchmarks.rig.drawing import BOUND, OURS, PEER  # here: matplotlib may be absent

    names = [each.name for each in participants] + ["n8n (published)"]
    rates = [spread([p.rate for p in each.closed]).median for each in participants] + [N8N_RATE]
    axes.barh(names, rates, color=[OURS if name.startswith("ours") else PEER for name in names])
    axes.axvline(TARGET_RATE, color=BOUND, linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("webhooks of 2 kB a second, 16 connections; line: our target")


def main() -> None:
    parser = make_parser("callback", __doc__ or "", short=Form(8, 3), full=Form(30, 5))
    parser.add_argument("--lanes", type=int, action="append", help="ours with so many lanes too, beside its own number")
    options = read(parser)
    report(options, *asyncio.run(measure(options))).finish()


if __name__ == "__main__":
    main()
