"""B10: kill -9 of each service, of PostgreSQL and of Kafka, under two submissions a second: until dispatch is normal.

A person's client repeats its call (same Idempotency-Key) until somebody answers; the recording provider repeats its
callback. Normal again: from then on every run reaches the provider within a second of its usual delay.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import psutil
import uvloop

from benchmarks import flow
from benchmarks.journey_peers import BODY, QUIET, environment_of, settings_for, start_recorder, token_of
from benchmarks.outage import PER_SECOND, Load, Outage, outage, usual
from benchmarks.rig.figures import spread
from benchmarks.rig.machine import versions, watched_load
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Picture, Report, Table
from benchmarks.rig.servers import Program, Rig, missing, open_rig
from benchmarks.whole_stack import WholeStack, whole_stack
from libs.common.consumers import SESSION_MS
from stack.embedded.ports import free_port
from stack.embedded.processes import Running

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KILLED: Final = (
    *("gateway-1", "create-1", "runner-1", "generator-1", "callback-1", "archiver-1", "signer-1", "composer-1"),
    *("postgres", "kafka"),
)
STEADY_SECONDS: Final = 6.0  # before the first kill
SETTLE_SECONDS: Final = 120.0  # at most: what a kill left between claim and reply is sent again after 90 s
TARGET_SECONDS: Final = SESSION_MS / 1000 + 3.0
TIMES_CELERY: Final = 100.0
REPLY: Final = ("--reply-delay", "0.1", "0.8")  # s; as the provider of §2.5
VISIBILITY_SECONDS: Final = 10.0  # of the peer's run that can be waited for
CELERY_KILLS: Final = 4  # a kill finds a message in a worker's hands about every third time
_PACKAGES: Final = ("celery", "kombu", "redis", "asyncpg", "aiokafka", "faststream")


@dataclass
class Found:
    """What the passes of one participant came to."""

    outages: list[Outage] = field(default_factory=list)
    asked: int = 0
    never: int = 0  # runs that the provider never saw
    twice: int = 0  # runs whose first segment it saw more than once
    failed_calls: int = 0
    usual_ms: list[float] = field(default_factory=list)

    def add(self, load: Load, noted: dict[str, Any]) -> None:
        posted = noted["posted"]
        self.asked += len(load.asked)
        self.never += sum(each not in posted for each in load.asked)
        self.twice += sum(len(posted.get(each, ())) > 1 for each in load.asked)
        self.failed_calls += load.failed_calls


async def measure(options: Options) -> Report:
    report = Report("recovery", "B10: until dispatch is normal after kill -9", options, versions(_PACKAGES))
    ours, celery = Found(), Found()
    async with open_rig("recovery") as rig, watched_load() as load:
        for seed in options.seeds:
            if options.takes_part("ours"):
                await _ours(rig, ours, options, seed)
            if options.takes_part("celery") and not missing("celery", "redis"):
                await _celery(rig, celery, options, seed)
    _tell(report, ours, celery)
    report.notes.append(f"{load} meanwhile; {PER_SECOND:g} runs a second, replies after {REPLY[1]}–{REPLY[2]} s")
    return report


async def _ours(rig: Rig, found: Found, options: Options, seed: int) -> None:
    """One stack; every process of it is killed in turn, and its supervisor starts it again."""
    recorder = await start_recorder(rig, f"ours-{seed}", *REPLY, "--seed", str(seed))
    # Two accounts: with one, two submissions a second are all there is, and no backlog could ever be made up for.
    settings = settings_for(f"http://127.0.0.1:{recorder}") | {"SUNO_API_KEY": "one,two"}
    with whole_stack(settings) as stack:
        load = Load(stack.port, BODY, stack.token)
        kills: list[tuple[str, float]] = []
        async with _asking(load):
            await asyncio.sleep(STEADY_SECONDS)
            for name in options.more.kill or KILLED:
                kills.append((name, _kill(stack, name)))
                await asyncio.sleep(options.seconds)
        ended = time.time()
        await _settle(load, recorder)
        _note(found, load, await flow.stamps(recorder), kills, ended)


async def _celery(rig: Rig, found: Found, options: Options, seed: int) -> None:
    """Its worker is killed with what it holds and started again at once; acks_late, or what it held would be lost."""
    edge, recorder = free_port(), await start_recorder(rig, f"celery-{seed}", *REPLY, "--seed", str(seed))
    environment = environment_of(edge, recorder)
    environment |= {"BENCH_REDIS": await rig.redis(seed % 16), "BENCH_VISIBILITY": str(VISIBILITY_SECONDS)}
    worker = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_journey", "worker", "-P", "threads"]
    worker += ["-c", "2", "-l", "error", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    command = [sys.executable, "-m", "uvicorn", "benchmarks.peers.celery_journey:edge", "--port", str(edge), *QUIET]
    async with AsyncExitStack() as exits:
        running = await rig.program(Program(f"celery-edge-{seed}", command, edge, environment))
        exits.callback(running.stop)
        load = Load(edge, BODY, token_of)
        kills: list[tuple[str, float]] = []
        working: list[Running] = []
        exits.callback(lambda: working[-1].kill() if working else None)
        working.append(await rig.program(Program(f"celery-{seed}-0", worker, environment=environment)))
        await _first_sent(edge, recorder)
        async with _asking(load):
            await asyncio.sleep(STEADY_SECONDS)
            for number in range(1, CELERY_KILLS + 1):
                kills.append(("celery worker", time.time()))
                working[-1].kill()
                working.append(await rig.program(Program(f"celery-{seed}-{number}", worker, environment=environment)))
                await asyncio.sleep(max(options.seconds, 2.5 * VISIBILITY_SECONDS))
        ended = time.time()
        await _settle(load, recorder)
        _note(found, load, await flow.stamps(recorder), kills, ended)


async def _first_sent(edge: int, recorder: int) -> None:
    """Wait until the worker works."""
    segment = await flow.ask("127.0.0.1", edge, BODY, token_of(uuid4()), str(uuid4()))
    async with asyncio.timeout(SETTLE_SECONDS):
        while segment not in (await flow.stamps(recorder))["posted"]:
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _asking(load: Load) -> AsyncIterator[None]:
    task = asyncio.create_task(load.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _kill(stack: WholeStack, name: str) -> float:
    """Kill -9 of one process, as the kernel does when memory ends; PostgreSQL's backends notice by themselves."""
    process = psutil.Process(stack.pid(name))
    at = time.time()
    process.send_signal(signal.SIGKILL)
    return at


async def _settle(load: Load, recorder: int) -> None:
    """Wait until every run has reached the provider and every `first` was taken, within a bound."""
    await load.settle(SETTLE_SECONDS)
    deadline = time.time() + SETTLE_SECONDS
    while time.time() < deadline:
        noted = await flow.stamps(recorder)
        if all(each in noted["posted"] and each in noted["taken"] for each in load.asked):
            return
        await asyncio.sleep(0.5)


def _note(found: Found, load: Load, noted: dict[str, Any], kills: Sequence[tuple[str, float]], ended: float) -> None:
    found.add(load, noted)
    normal = usual(load.asked, noted["posted"], kills[0][1])
    found.usual_ms.append(normal * 1000)
    ends = [*(at for _name, at in kills[1:]), ended]
    for (name, at), until in zip(kills, ends, strict=True):
        found.outages.append(outage(name, at, until, load.asked, noted, normal))


def _tell(report: Report, ours: Found, celery: Found) -> None:
    heads = ("killed", "dispatch normal after, s", "news normal after, s", "longest silence, s", "late runs")
    table = Table("kill -9 under 2 submissions a second", heads)
    for name in dict.fromkeys(each.killed for each in (*ours.outages, *celery.outages)):
        these = [each for each in (*ours.outages, *celery.outages) if each.killed == name]
        title = (
            f"ours: {name}"
            if not name.startswith("celery")
            else f"{name} (visibility_timeout {VISIBILITY_SECONDS:g} s)"
        )
        cells = [spread([getattr(each, part) for each in these]).text(1) for part in ("recovered", "news", "silence")]
        table.add(title, *cells, sum(each.late for each in these))
    report.tables.append(table)
    counts = Table("all passes", ("", "asked", "never sent", "sent twice", "calls repeated", "usual delay, ms"))
    for name, found in (("ours", ours), ("celery", celery)):
        if found.asked:
            usual_ms = spread(found.usual_ms).text(0)
            counts.add(name, found.asked, found.never, found.twice, found.failed_calls, usual_ms)
        report.figures[name] = {"outages": [each.plain() for each in found.outages], "usual_ms": found.usual_ms}
    report.tables.append(counts)
    default = _default_visibility()
    if ours.outages:
        worst = max(ours.outages, key=lambda each: each.recovered)
        text = f"{worst.recovered:.1f} s, after {worst.killed}"
        report.judge(f"dispatch normal ≤ {TARGET_SECONDS:g} s after any kill", worst.recovered <= TARGET_SECONDS, text)
        report.judge("no run is lost", ours.never == 0, f"{ours.never} of {ours.asked} never sent")
        if default:
            times = default / max(worst.recovered, 0.001)
            report.judge(f"≥ {TIMES_CELERY:g}× Celery's default", times >= TIMES_CELERY, f"{times:.0f}×")
    if default:
        report.notes.append(
            f"Celery on Redis delivers again what a killed worker held after its visibility_timeout: {default:g} s by "
            f"default (read from kombu), {VISIBILITY_SECONDS:g} s in this run, so that it can be waited for"
        )
    report.picture = Picture(
        lambda axes: _draw(axes, [*ours.outages, *celery.outages]), "bars: seconds by what was killed"
    )


def _default_visibility() -> float:
    """What kombu uses unless told otherwise."""
    if missing("kombu", "redis"):
        return 0.0
    from kombu.transport.redis import Channel

    return float(Channel.visibility_timeout)


def _draw(axes: "Axes", outages: Sequence[Outage]) -> None:
    names = list(dict.fromkeys(each.killed for each in outages))[::-1]
    values = [spread([each.recovered for each in outages if each.killed == name]).median for name in names]
    axes.barh(range(len(names)), values, color=["#b9b4a7" if "celery" in name else "#2a6f6b" for name in names])
    axes.axvline(TARGET_SECONDS, color="#b3412f", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("s from kill -9 until dispatch is normal (line: session time-out + 3 s)")


def main() -> None:
    short, full = Form(seconds=16.0, repeats=1), Form(seconds=20.0, repeats=5)
    parser = make_parser("recovery", __doc__ or "", short=short, full=full)
    parser.add_argument("--kill", action="append", choices=KILLED, help="only these processes (default: all in turn)")
    uvloop.run(measure(read(parser))).finish()


if __name__ == "__main__":
    main()
