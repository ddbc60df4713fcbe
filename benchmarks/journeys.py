"""Thirty people start a journey at the same moment, on a whole stack against the Suno simulator at 20 times its speed.

Every run must become ready. Of each time to first sound: what the provider takes, what its quota makes people wait,
and what is left, which is ours. The provider's and the quota's seconds are 1/20 of real ones; ours are real.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import uvloop

from benchmarks import flow
from benchmarks.journey_peers import settings_for
from benchmarks.rig.figures import latency, percentile
from benchmarks.rig.machine import versions, watched_load
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Picture, Report, Table
from benchmarks.rig.servers import open_rig
from benchmarks.stages import quota_waits
from benchmarks.whole_stack import WholeStack, whole_stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPEED: Final = 20.0
FIRST_SECONDS: Final = 35.0  # from acceptance to a playable first take, as the reseller states (V)
USERS: Final = {"short": 6, "full": 30}
BODY: Final = b'{"presetKey":"universel-reset","emotionState":"fear-0.8","sudsStart":8}'
SLOTS: Final = 20  # calls in a window
WARM_UP: Final = b'{"presetKey":"universel-reset","strategy":"sequential"}'


@dataclass(frozen=True, slots=True)
class Sound:
    """One run's time to first sound, in parts. Seconds as they passed, so the provider's and the quota's at x20."""

    ttfp: float
    provider: float
    quota: float
    to_ready: float

    @property
    def ours(self) -> float:
        return self.ttfp - self.provider - self.quota

    @property
    def real(self) -> float:
        """What the listener would wait at the provider's own speed."""
        return (self.provider + self.quota) * SPEED + self.ours


async def measure(options: Options) -> Report:
    report = Report("journeys", "30 people at once, whole journeys", options, versions(_PACKAGES))
    users = options.more.users or USERS[options.form]
    async with open_rig("journeys") as rig, watched_load() as load:
        simulator = await rig.simulator("--speed", f"{SPEED:g}", "--reply-delay", "0")  # stamped when it arrives
        settings = settings_for(simulator.url) | {"TIME_SCALE": str(1 / SPEED)}
        with whole_stack(settings) as stack:
            await _run(stack, WARM_UP, 60.0, to_first=True)
            passes = []
            for _ in range(options.repeats):
                await asyncio.sleep(1.0)  # two windows of the quota
                passes.append(await asyncio.gather(*(_run(stack, BODY, options.seconds) for _ in range(users))))
            began = [{each.run_id for each in one if each is not None} for one in passes]
            waits = {run: wait for one in began for run, wait in (await quota_waits(stack, one, SLOTS)).items()}
        ledger = simulator.ledger()
    runs = [each for one in passes for each in one if each is not None]
    sounds = _sounds(runs, waits, ledger)
    _tell(report, users * options.repeats, runs, sounds, ledger)
    report.notes.append(f"{load}; archiving {len(runs) * len(runs[0].segment_ids) if runs else 0} files meanwhile")
    return report


async def _run(stack: WholeStack, body: bytes, seconds: float, *, to_first: bool = False) -> flow.Journey | None:
    """One person's run; `None` when it did not end in time."""
    token = stack.token(uuid4())
    try:
        if to_first:
            await flow.hear("127.0.0.1", stack.port, body, token)
            return None
        return await flow.follow("127.0.0.1", stack.port, body, token, seconds)
    except TimeoutError:
        return None


def _sounds(runs: Sequence[flow.Journey], waits: dict[str, float], ledger: dict[str, Any]) -> list[Sound]:
    accepted = {task["segment"]: task["acceptedAt"] for task in reversed(ledger["accepted"])}
    return [
        Sound(
            ttfp=run.first_at - run.asked_at,
            provider=FIRST_SECONDS / SPEED,
            quota=waits[run.run_id],
            to_ready=run.ended_at - run.asked_at,
        )
        for run in runs
        if run.segment_ids[0] in accepted and run.run_id in waits
    ]


def _tell(
    report: Report, asked: int, runs: Sequence[flow.Journey], sounds: Sequence[Sound], ledger: dict[str, Any]
) -> None:
    table = Table("time to first sound, s", ("part", "p50", "p99", "most", "share of the whole at real speed (p50)"))
    whole = percentile([each.real for each in sounds], 50)
    for name, values, real in (
        (f"ours: the platform ({len(sounds)} runs)", [each.ours for each in sounds], 1.0),
        ("waiting for a slot of the quota, x20", [each.quota for each in sounds], SPEED),
        ("the provider until `first`, x20", [each.provider for each in sounds], SPEED),
        ("the whole, x20", [each.ttfp for each in sounds], 0.0),
        ("the whole at real speed", [each.real for each in sounds], 1.0),
    ):
        cells = [f"{percentile(values, percent):.3f}" for percent in (50, 99, 100)]
        table.add(name, *cells, f"{100 * percentile(values, 50) * real / whole:.2f} %" if real else "")
        report.figures[name] = latency(values).plain()
    report.tables.append(table)
    ready = sum(each.ready for each in runs)
    to_ready = [each.to_ready for each in sounds]
    counts = Table(
        "whole journeys", ("", "runs", "ready", "submissions", "refused by the quota", "to ready, s: p50 / p99")
    )
    ended = f"{percentile(to_ready, 50):.0f} / {percentile(to_ready, 99):.0f}"
    refused = sum(ledger["refused"].values())
    counts.add("ours", asked, ready, len(ledger["accepted"]), refused, ended)
    report.tables.append(counts)
    report.judge("every run ready", ready == asked, f"{ready} of {asked}")
    report.judge("no submission refused", refused == 0, f"{refused} refused")
    report.notes.append("`to ready` is mastering on this machine's cores: each file is decoded, measured and encoded")
    report.picture = Picture(
        lambda axes: _draw(axes, sounds), "stacked bars: each run's time to first sound in its parts"
    )


def _draw(axes: "Axes", sounds: Sequence[Sound]) -> None:
    ordered = sorted(sounds, key=lambda each: each.real)
    places, low = range(len(ordered)), [0.0] * len(ordered)
    for name, values, color in (
        ("provider", [each.provider * SPEED for each in ordered], "#ddd9cf"),
        ("quota", [each.quota * SPEED for each in ordered], "#b9b4a7"),
        ("ours", [each.ours for each in ordered], "#2a6f6b"),
    ):
        axes.bar(places, values, bottom=low, label=name, color=color)
        low = [before + value for before, value in zip(low, values, strict=True)]
    axes.set_xlabel("runs, by their time to first sound")
    axes.set_ylabel("s at the provider's own speed")
    axes.legend(frameon=False)


_PACKAGES: Final = ("fastapi", "uvicorn", "asyncpg", "aiokafka", "faststream", "httpx")


def main() -> None:
    short, full = Form(seconds=600.0, repeats=1), Form(seconds=3000.0, repeats=1)
    parser = make_parser("journeys", __doc__ or "", short=short, full=full)
    parser.add_argument("--users", type=int, help="people at once (default: 6 short, 30 full)")
    uvloop.run(measure(read(parser))).finish()


if __name__ == "__main__":
    main()
