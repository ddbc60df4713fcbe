"""Proves the composer's sound by numbers: 60 s of every preset in every style, and three whole journeys.

Each is shown to the quality gate; then level, true peaks, joins, the planned arc, repeatability, what tells presets
apart.
"""

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.rig.machine import versions, watched_load
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Picture, Report
from benchmarks.sound_cells import Cell, Found, examine
from benchmarks.sound_journeys import JOURNEYS, Journey, travel
from benchmarks.sound_tables import tell_cells, tell_journeys, tell_presets
from services.archiver.domain.failures import GiveUp
from services.composer.engine import ENGINE, ENGINE_VERSION
from services.create.domain.presets import catalogue, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRACE_SECONDS: Final = 240.0  # for a journey that was begun in the time allowed
ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def cells_of(form: str, seed: int) -> list[Cell]:
    """All 80, or one style of each preset in turn; those of one style lie apart, so that a part is a fair part."""
    keys, names = [each.key for each in catalogue().presets], list(styles())
    rounds = len(names) if form == "full" else 1
    return [
        Cell(key, names[(place + turn) % len(names)], seed, twice=turn == 0)
        for turn in range(rounds)
        for place, key in enumerate(keys)
    ]


async def measure(options: Options) -> Report:
    found = versions(("numpy", "scipy", "lameenc", "imageio-ffmpeg")) | {ENGINE: ENGINE_VERSION}
    report = Report("sound", "How the composer sounds, by numbers", options, found)
    budget = options.more.budget or float("inf")
    began = time.monotonic()
    async with watched_load() as load:
        with tempfile.TemporaryDirectory(prefix="parcours-sound-") as folder:
            wanted = [cell for cell in cells_of(options.form, options.seed) if options.takes_part(cell.preset)]
            pieces = asyncio.create_task(asyncio.to_thread(_cells, wanted, began + budget))
            journeys = await _journeys(report, options, Path(folder), began + budget)
            made = await pieces
    tell_journeys(report, journeys)
    tell_cells(report, made)
    tell_presets(report, made)
    report.notes.append(str(load))
    _tell_missing(report, wanted, made, journeys)
    report.figures["cells"] = [asdict(each) for each in made]
    report.figures["journeys"] = [{**asdict(each), "path": ""} for each in journeys]
    report.picture = Picture(
        lambda axes: _draw(axes, made), "dots: tempo and brightness of each preset in each style", 8, 5
    )
    return report


async def _journeys(report: Report, options: Options, folder: Path, until: float) -> list[Journey]:
    made = []
    count = len(JOURNEYS) if options.form == "full" else 1
    for number in range(min(count, options.more.journeys)):
        if time.monotonic() > until or not options.takes_part(JOURNEYS[number][0]):
            continue
        twice = options.form == "full" and number == 0 and options.more.budget is None
        try:
            async with asyncio.timeout(until + GRACE_SECONDS - time.monotonic() if options.more.budget else None):
                journey = await travel(number, options.seed, folder / str(number), twice=twice)
        except (TimeoutError, GiveUp) as error:  # on a busy machine the archiver's own bound of 180 s is too short
            report.notes.append(f"{JOURNEYS[number][0]} was not measured to its end: {str(error) or 'no time left'}")
            continue
        made.append(journey)
        print(f"{journey.preset}: {journey.seconds:.3f} s, {journey.lufs:.1f} LUFS", flush=True)
        _picture(report, journey)
        journey.path.unlink()
    return made


def _picture(report: Report, journey: Journey) -> None:
    try:
        from benchmarks.sound_pictures import draw_journey

        report.pages.mkdir(parents=True, exist_ok=True)
        name = f"sound-{journey.preset}.png"
        draw_journey(journey, report.pages / name)
    except ImportError:
        return  # the report says that matplotlib is missing
    alt = f"{journey.preset}: spectrogram, loudness, tempo and brightness, planned and measured"
    report.more_pictures.append((alt, name))


def _cells(wanted: Sequence[Cell], until: float) -> list[Found]:
    os.environ.update(ONE_THREAD)
    spawn = multiprocessing.get_context("spawn")
    made: list[Found] = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        waiting = {pool.submit(examine, cell): cell for cell in wanted}
        for done in as_completed(waiting):
            if done.cancelled():
                continue
            made.append(done.result())
            one = made[-1]
            print(f"{len(made)} {one.preset} {one.style} {one.lufs:.2f} LUFS {one.refused}", flush=True)
            if time.monotonic() > until:
                for other in waiting:
                    other.cancel()
    order = {(cell.preset, cell.style): place for place, cell in enumerate(wanted)}
    return sorted(made, key=lambda one: order[one.preset, one.style])


def _tell_missing(report: Report, wanted: Sequence[Cell], made: Sequence[Found], journeys: Sequence[Journey]) -> None:
    if len(made) < len(wanted):
        report.notes.append(f"{len(wanted) - len(made)} of {len(wanted)} pieces were not reached in the time allowed")
    if len(journeys) < len(JOURNEYS):
        report.notes.append(
            f"{len(JOURNEYS) - len(journeys)} of {len(JOURNEYS)} whole journeys were not part of this run"
        )
    report.notes.append("nobody has listened: all of this is numbers")


def _draw(axes: "Axes", made: Sequence[Found]) -> None:
    for style, mark in zip(styles(), "os^D", strict=True):
        played = [one for one in made if one.style == style and "centroid_hz" in one.features]
        xs, ys = [one.features["bpm"] for one in played], [one.features["centroid_hz"] for one in played]
        axes.scatter(xs, ys, marker=mark, s=22, label=style)
    axes.set_xlabel("tempo of the composed notes, beats a minute")
    axes.set_ylabel("A-weighted centroid, Hz")
    axes.legend(frameon=False)


def main() -> None:
    parser = make_parser("sound", __doc__ or "", short=Form(60, 1), full=Form(60, 1))
    parser.add_argument("--budget", type=float, help="seconds after which nothing is begun; the page says what lacks")
    parser.add_argument("--journeys", type=int, default=len(JOURNEYS), help="at most so many whole ones")
    asyncio.run(measure(read(parser))).finish()


if __name__ == "__main__":
    main()
