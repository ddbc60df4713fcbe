"""B4: webhooks that are durable before they are answered: a closed loop of 16 connections, an open loop of 500/s.

`python -m benchmarks.callback`. Ours is one worker of the callback service; every webhook is fresh news of its attempt
(text, first, complete, 2 kB each) and leaves inbox, facts, status and outbox behind. The peers only keep the body.
"""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from benchmarks.rig.figures import Spread, percentile, spread, turns
from benchmarks.rig.machine import Load, versions, watched_load
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Picture, Report, Table
from benchmarks.rig.sampling import profiled
from benchmarks.rig.servers import Rig, missing, open_rig
from benchmarks.webhook_hearers import MAKERS, Participant, Pass, start_ours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OPEN_RATE: Final = 500.0
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
KEPT: Final = """
SELECT (SELECT count(*) FROM webhook_inbox) AS inbox, (SELECT count(*) FROM outbox) AS outbox,
       (SELECT count(*) FROM webhook_inbox WHERE stage <> 'text') AS announced
"""


@dataclass(frozen=True)
class Measured:
    """What came out."""

    participants: list[Participant]
    left_out: list[str]  # who took no part, and why
    load: Load
    profile: dict[str, float] | str  # shares of our worker's time, or why there are none
    kept: dict[str, int]  # what our database holds in the end


async def measure(options: Options) -> Measured:
    """Everybody in turn, closed loop and open loop; then our worker is looked at."""
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
            ours = ours_of(participants)
            profile = await _profile(ours, options, rig.folder) if ours else "ours took no part"
        kept = await _kept(rig) if ours else {}
    return Measured(participants, left_out, load, profile, kept)


def ours_of(participants: list[Participant]) -> Participant | None:
    """The one that is judged, if it takes part."""
    return next((each for each in participants if each.name == "ours"), None)


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


def report(options: Options, measured: Measured) -> Report:
    participants = measured.participants
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
    told.figures = {each.name: _plain(each) for each in participants} | {"load": str(measured.load)}
    told.notes += [f"left out: {why}" for why in measured.left_out]
    told.notes += [
        f"Machine while it ran: {measured.load}; worker, PostgreSQL and load generator share its cores.",
        "Ours does more: each webhook is matched with its attempt by token, is fresh news, and changes five tables.",
        "Latency at 500/s counts from the moment a webhook was due, whether a connection was free or not.",
    ]
    ours = ours_of(participants)
    if ours is not None:
        _tell_profile(told, ours, measured.profile)
        _judge(told, ours, participants, measured.kept)
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


def _tell_profile(told: Report, ours: Participant, profile: dict[str, float] | str) -> None:
    if isinstance(profile, str):
        told.notes.append(f"no profile of the worker: {profile}")
        return
    worker = spread([p.processor["worker"] for p in ours.closed]).median
    title = f"what our worker's {worker:.0f} µs a webhook go to; looked at in a closed loop of its own"
    table = Table(title, ["what", "share", "µs a webhook"])
    for name, share in profile.items():
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
    report(options, asyncio.run(measure(options))).finish()


if __name__ == "__main__":
    main()
