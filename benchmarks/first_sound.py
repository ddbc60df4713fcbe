"""B3: how much of the time to first sound is ours, for one person and for 20 at once, and beside Celery and Restate.

Two parts, by one clock: `POST /v1/runs` sent → the provider has the submission; the provider sends `first` → its bytes
are at the listener. What the provider and its quota take is between the two, or does not occur.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvloop

from benchmarks import flow
from benchmarks.journey_peers import PEERS, Participant, lacking, start_ours
from benchmarks.rig.figures import latency, percentile, spread, turns
from benchmarks.rig.machine import Load, versions, watched_load
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Picture, Report, Table
from benchmarks.rig.servers import open_rig
from benchmarks.stages import STAGES, stage_times

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EVERY_SECONDS: Final = 0.55  # between two runs of the one: a little slower than the quota's 2 a second
CROWD: Final = 20  # as many as the quota lets through at once
REST_SECONDS: Final = 10.3  # the quota's window and hold: afterwards 20 slots are free
WARM_UPS: Final = 5
TARGET_MS: Final = 50.0
TIMES_CELERY: Final = 5.0
PARTS: Final = ("submission", "news", "total")
HEADS: Final = ("asked → at the provider", "`first` sent → at the listener", "sum")


async def measure(options: Options) -> Report:
    report = Report("first_sound", "B3: our share of the time to first sound", options, versions(_PACKAGES))
    async with open_rig("first-sound") as rig, AsyncExitStack() as exits:
        participants = [await start_ours(rig, exits)] if options.takes_part("ours") else []
        if options.more.against:
            participants.append(await start_ours(rig, exits, "before", Path(options.more.against).resolve()))
        for name, (start, _modules) in PEERS.items():
            if not options.takes_part(name):
                continue
            if lacks := lacking(name):
                report.notes.append(f"{name} took no part: {', '.join(lacks)} not installed (make setup-bench)")
            else:
                participants.append(await start(rig, exits))
        async with watched_load() as load:
            await _passes(participants, options)
        stages = [
            await stage_times(each.stack, [s for one in each.one for s in one]) for each in participants if each.stack
        ]
    _tell(report, participants, stages, load)
    return report


async def _passes(participants: Sequence[Participant], options: Options) -> None:
    for each in participants:
        for _ in range(WARM_UPS):
            await each.run()
            await asyncio.sleep(EVERY_SECONDS)
    for each in turns(participants, options.repeats):
        each.one.append(await _one_after_the_other(each, options.seconds))
    for each in turns(participants, options.repeats):
        each.crowd.append(await _at_once(each))


async def _one_after_the_other(participant: Participant, seconds: float) -> list[flow.Sample]:
    """A run every 0.55 s, the clock of each starting when it is sent; the one before has ended by then."""
    await asyncio.sleep(REST_SECONDS if participant.stack else 0.0)
    loop = asyncio.get_running_loop()
    began, heard = loop.time(), []
    while (passed := loop.time() - began) < seconds:
        heard.append(await participant.run())
        await asyncio.sleep(max(0.0, EVERY_SECONDS - (loop.time() - began - passed)))
    return flow.samples(heard, await flow.stamps(participant.recorder))


async def _at_once(participant: Participant) -> list[flow.Sample]:
    """Twenty people at the same moment, when twenty slots are free."""
    await flow.expect_crowd(participant.recorder, crowd=True)
    await asyncio.sleep(REST_SECONDS if participant.stack else 1.0)
    heard = await asyncio.gather(*(participant.run() for _ in range(CROWD)))
    await flow.expect_crowd(participant.recorder, crowd=False)
    return flow.samples(heard, await flow.stamps(participant.recorder))


def _tell(
    report: Report, participants: Sequence[Participant], stages: Sequence[Mapping[str, list[float]]], load: Load
) -> None:
    for title, passes in (("one person, ms", "one"), (f"{CROWD} at once, ms", "crowd")):
        table = Table(title, ("", "runs", *(f"{head}: p50 / p99" for head in HEADS), "kept on disk"))
        for each in participants:
            table.add(each.name, *_cells(getattr(each, passes)), each.keeps)
            report.figures[f"{each.name}, {title}"] = _figures(getattr(each, passes))
        report.tables.append(table)
    if stages:
        report.tables.append(_stage_table(participants, stages))
    _judge(report, {each.name: each for each in participants})
    report.notes.append(f"median of the passes' percentiles (least–most); {load} meanwhile")
    report.notes.append("no run waited for a slot of the quota: a pass leaves 20 free slots to 20 people at most")
    report.picture = Picture(lambda axes: _draw(axes, participants), "stacked bars: submission and news, p50 and p99")


def _cells(passes: Sequence[Sequence[flow.Sample]]) -> list[str]:
    cells = [str(sum(len(each) for each in passes))]
    for part in PARTS:
        values = [[getattr(sample, part) for sample in each] for each in passes]
        p50, p99 = (spread([percentile(each, percent) for each in values]) for percent in (50, 99))
        cells.append(f"{p50.text(1)} / {p99.text(1)}")
    return cells


def _figures(passes: Sequence[Sequence[flow.Sample]]) -> dict[str, Any]:
    every = [sample for each in passes for sample in each]
    figures: dict[str, Any] = {part: latency([getattr(sample, part) for sample in every]).plain() for part in PARTS}
    figures["answer"] = latency([sample.answer for sample in every]).plain()
    return figures


def _stage_table(participants: Sequence[Participant], stages: Sequence[Mapping[str, list[float]]]) -> Table:
    names = [each.name for each in participants if each.stack]
    table = Table("where our ms go (one person, p50 / p99 of all runs)", ("stage", *names))
    for stage in STAGES:
        table.add(stage, *(f"{percentile(s[stage], 50):.2f} / {percentile(s[stage], 99):.2f}" for s in stages))
    return table


def _judge(report: Report, by_name: Mapping[str, Participant]) -> None:
    ours = by_name.get("ours")
    if ours is None:
        return
    found = _all(ours.one, 99)
    report.judge(f"one person: sum p99 ≤ {TARGET_MS:g} ms", found <= TARGET_MS, f"{found:.1f} ms")
    celery = by_name.get("Celery + Redis")
    if celery is not None:
        times = _all(celery.one, 99) / found
        report.judge(f"≥ {TIMES_CELERY:g}× Celery (p99 of the sum)", times >= TIMES_CELERY, f"{times:.2f}×")
    for each in by_name.values():
        for percent in (50, 99):
            theirs, mine = _all(each.one, percent), _all(ours.one, percent)
            if theirs < mine:
                report.lose(
                    f"{each.name}, one person, p{percent}: {theirs:.1f} ms, ours {mine:.1f}; keeps {each.keeps}"
                )


def _all(passes: Sequence[Sequence[flow.Sample]], percent: float) -> float:
    return percentile([sample.total for each in passes for sample in each], percent)


def _draw(axes: "Axes", participants: Sequence[Participant]) -> None:
    names, low = [], 0
    for each in reversed(participants):
        for title, passes in (("20 at once", each.crowd), ("one", each.one)):
            for percent in (99, 50):
                parts = [percentile([getattr(s, part) for p in passes for s in p], percent) for part in PARTS[:2]]
                ours = each.name == "ours"
                axes.barh(low, parts[0], color="#2a6f6b" if ours else "#b9b4a7")
                axes.barh(low, parts[1], left=parts[0], color="#7fb0ac" if ours else "#ddd9cf")
                names.append(f"{each.name}, {title}, p{percent}")
                low += 1
    axes.axvline(TARGET_MS, color="#b3412f", linewidth=1)
    axes.set_yticks(range(low), names)
    axes.set_xlabel("ms: dark, asked → at the provider; light, `first` sent → at the listener; line: 50 ms")


_PACKAGES: Final = (
    "celery",
    "redis",
    "restate-sdk",
    "fastapi",
    "uvicorn",
    "asyncpg",
    "aiokafka",
    "faststream",
    "httpx",
)


def main() -> None:
    short, full = Form(seconds=16.5, repeats=2), Form(seconds=55.0, repeats=5)
    parser = make_parser("first_sound", __doc__ or "", short=short, full=full)
    parser.add_argument(
        "--against", metavar="CHECKOUT", help="another checkout of this repository, run beside as `before`"
    )
    report = uvloop.run(measure(read(parser)))
    report.finish()


if __name__ == "__main__":
    main()
