"""`parcours compose`: a journey, or its first minutes, as one MP3 by planner and engine alone; no server runs."""

import asyncio
import math
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from libs.common.mp3 import scan
from services.composer.engine.plan import SAMPLE_RATE, SegmentPlan
from services.composer.exact import ExactPlan
from services.composer.files import GrowingFile, RenderFailedError
from services.composer.pool import RenderPool
from services.create.domain.emotion import parse
from services.create.domain.errors import RefusedInputError
from services.create.domain.plan import Plan
from services.create.domain.planner import HIGHEST_SEED, PlanRequest, make_plan
from services.create.domain.request_facts import request_facts
from stack.errors import StackError
from stack.refusals import told

if TYPE_CHECKING:
    from stack.mastering import Mastered

LEAST_MINUTES = 0.2  # head fade, music, fade-out
EXCERPT_FADE_SECONDS = 5.0
BYTES_PER_SECOND = 8 * SAMPLE_RATE  # of what is rendered, kept beside the target until it is coded
CODED_BYTES_PER_SECOND = 24_000
LOOK_SECONDS = 0.25
LINE_SECONDS = 5.0  # between two lines where nobody watches a terminal
MOST_CORRECTION_DB = 3.0


@dataclass(frozen=True)
class Wish:
    """What was typed."""

    preset: str
    out: Path
    emotion: str | None = None
    suds: int | None = None
    style: str | None = None
    seed: int | None = None
    minutes: float | None = None
    force: bool = False


@dataclass(frozen=True)
class Stretch:
    """One segment's share of the file; `whole` when nothing of it is cut off."""

    plan: SegmentPlan
    samples: int
    tail: int

    @property
    def whole(self) -> bool:
        return self.samples == self.plan.samples


@dataclass
class Progress:
    """How far it is."""

    seconds: float
    began: float = field(default_factory=time.monotonic)
    files: list[GrowingFile] = field(default_factory=list)
    mastered: float = 0.0

    def line(self) -> str:
        composed = min(self.seconds, sum(file.size for file in self.files) / BYTES_PER_SECOND)
        whole = clock(self.seconds)
        took = time.monotonic() - self.began
        return f"composed {clock(composed)} of {whole}, mastered {clock(self.mastered)}, {took:.0f} s"


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


async def compose(wish: Wish) -> int:
    """Write the file and tell of it; raises StackError, and then nothing is left of what was begun."""
    plan = planned(wish)
    stretches = stretches_of(plan, wish.minutes)
    check_target(wish, sum(each.samples for each in stretches))
    try:
        await _compose(wish, plan, stretches)
    except asyncio.CancelledError:
        raise StackError("interrupted; nothing was written") from None
    except (RenderFailedError, OSError) as error:
        raise StackError(f"{wish.out} was not written: {error}") from error
    return 0


def planned(wish: Wish) -> Plan:
    """The plan by create's planner; raises StackError with what is allowed instead."""
    try:
        request = PlanRequest(
            preset_key=wish.preset,
            seed=secrets.randbelow(HIGHEST_SEED + 1) if wish.seed is None else wish.seed,
            emotion=None if wish.emotion is None else parse(wish.emotion),
            suds=wish.suds,
            style=wish.style,
        )
        return make_plan(request, key=b"none")  # the hash names no run here
    except RefusedInputError as error:
        raise told(error) from None


def segment_plans(plan: Plan) -> list[SegmentPlan]:
    """What the engine plays of it, as a provider's request would tell it."""
    facts = [request_facts(plan, index, title="Session") for index in range(len(plan.segments))]
    return [ExactPlan.model_validate(each.x_parcours).plan() for each in facts]


def stretches_of(plan: Plan, minutes: float | None) -> list[Stretch]:
    """The segments that sound in the first `minutes`; all of them where none are named."""
    if minutes == math.inf:
        raise StackError("--minutes: expected a number of minutes, found inf; without it all of the journey is made")
    plans = segment_plans(plan)
    total = plan.total_seconds * SAMPLE_RATE
    end = total if minutes is None else min(total, round(60 * minutes * SAMPLE_RATE))
    starts = [round(each.span.start_seconds * SAMPLE_RATE) for each in plans] + [total]
    made = []
    for place, each in enumerate(plans):
        if starts[place] >= end:
            break
        samples = min(each.samples, end - starts[place])
        made.append(Stretch(each, samples, max(0, starts[place] + samples - starts[place + 1])))
    return made


def check_target(wish: Wish, samples: int) -> None:
    """Refuse before anything is rendered what could not be written after it."""
    out = wish.out
    if out.suffix.lower() != ".mp3":
        raise StackError(f"--out: expected a name that ends with .mp3, found {out.name}")
    if out.is_dir() or not out.parent.is_dir():
        raise StackError(f"--out: expected a file in a folder that exists, found {out}")
    if out.exists() and not wish.force:
        raise StackError(f"--out: {out} exists; --force replaces it")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise StackError(f"--out: {out.parent} cannot be written to")
    needed = samples / SAMPLE_RATE * (BYTES_PER_SECOND + CODED_BYTES_PER_SECOND)
    if (free := shutil.disk_usage(out.parent).free) < needed:
        raise StackError(f"--out: {out.parent} needs room for {needed / 1e6:.0f} MB meanwhile, has {free / 1e6:.0f}")


async def _compose(wish: Wish, plan: Plan, stretches: Sequence[Stretch]) -> None:
    progress = Progress(sum(each.samples - each.tail for each in stretches) / SAMPLE_RATE)
    showing = asyncio.create_task(_show(progress))
    try:
        with tempfile.TemporaryDirectory(prefix=f".{wish.out.stem[:40]}-", dir=wish.out.parent) as folder:
            made = await make(plan, stretches, Path(folder), progress)
            exact = (await asyncio.to_thread(scan, made.path)).seconds
            made.path.replace(wish.out)
    finally:
        showing.cancel()
    took = time.monotonic() - progress.began
    _clear_line()
    found = f"{made.loudness.integrated:.1f} LUFS, true peak {made.loudness.true_peak:.1f} dBTP"
    print(f"{wish.out}   {clock(exact)} ({exact:.3f} s), {found}, seed {plan.seed}, made in {took:.1f} s")


async def make(plan: Plan, stretches: Sequence[Stretch], folder: Path, progress: Progress) -> "Mastered":
    """Render in as many processes as cores, and master meanwhile; the file and all that led to it are in the folder.

    Raises RenderFailedError and OSError; no process is left when it returns or raises.
    """
    pool = RenderPool(min(os.cpu_count() or 1, len(stretches)), warm=False)
    try:
        for place, each in enumerate(stretches):
            progress.files.append(pool.render(each.plan, "sound", folder / f"{place}.sound", place, each.samples))
        await asyncio.sleep(0)  # the workers start before this process loads what they load
        return await _master(plan, stretches, progress, folder / "journey.mp3")
    finally:
        await pool.stop()


async def _master(plan: Plan, stretches: Sequence[Stretch], progress: Progress, begun: Path) -> "Mastered":
    # loads numpy and scipy while the workers do the same
    from stack.mastering import Shape, Sound, master  # noqa: PLC0415

    async def sounds() -> AsyncIterator[Sound]:
        for each, file in zip(stretches, progress.files, strict=True):
            measures = await file.wait_until_whole()
            off = each.plan.target_lufs - measures.lufs if each.whole else 0.0
            gain = max(-MOST_CORRECTION_DB, min(MOST_CORRECTION_DB, off))
            yield Sound(file.path, each.samples, each.tail, gain)

    ends_whole = stretches[-1].plan.is_last and stretches[-1].whole
    shape = Shape(
        samples=sum(each.samples - each.tail for each in stretches),
        fade_in=float(plan.fade_in_seconds),
        fade_out=0.0 if ends_whole else EXCERPT_FADE_SECONDS,
        seed=plan.seed,
    )

    def said(samples: int) -> None:
        progress.mastered = samples / SAMPLE_RATE

    return await master(sounds, shape, begun, said=said)


async def _show(progress: Progress) -> None:
    """On a terminal one line that changes, elsewhere a line every few seconds; on standard error."""
    if sys.stderr.isatty():
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            _write(f"\r{progress.line()}\x1b[K")
    while True:
        await asyncio.sleep(LINE_SECONDS)
        _write(f"{progress.line()}\n")


def _clear_line() -> None:
    if sys.stderr.isatty():
        _write("\r\x1b[K")


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
