"""Renders one 20-minute journey to a mastered MP3: by the composer's engine, by FluidSynth, and as one large array.

All play the same score. Wall and processor time, the memory of the largest process, and the first minute from cold.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.rig.figures import spread, turns
from benchmarks.rig.machine import versions, watched_load
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Picture, Report, Table
from benchmarks.rig.sounds import EMOTION, PRESET, SUDS, Watched, need_fluidsynth, watch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OUR: Final = "ours: parcours compose"
COLD: Final = "ours: first 60 s from cold"
FLUID: Final = "FluidSynth, FluidR3"
NAIVE: Final = "naive: one array"
COLD_SECONDS: Final = 60.0
COLORS: Final = {"seconds": "#2a6f6b", "cpu": "#b9b4a7"}
MOST_SECONDS, MOST_COLD_SECONDS, MOST_MB = 40.0, 5.0, 450.0  # the targets, on 2 cores

Passes = dict[str, list[Watched]]


def command_of(name: str, seed: int, seconds: float, out: Path) -> list[str]:
    """What is typed for one pass."""
    if name in (OUR, COLD):
        length = seconds if name == OUR else min(seconds, COLD_SECONDS)
        wish = ["--preset", PRESET, "--emotion", EMOTION, "--suds", str(SUDS), "--seed", str(seed)]
        typed = [str(Path(sys.executable).with_name("parcours")), "compose", *wish]
        return [*typed, "--minutes", f"{length / 60:.6f}", "--force", "--out", str(out)]
    module = "fluidsynth_journey" if name == FLUID else "naive_journey"
    return [sys.executable, "-m", f"benchmarks.peers.{module}", str(seed), f"{seconds:g}", str(out)]


async def measure(options: Options) -> Report:
    names = [name for name in (OUR, COLD, FLUID, NAIVE) if options.takes_part(name)]
    if FLUID in names:
        need_fluidsynth()
    found = versions(("numpy", "scipy", "lameenc", "imageio-ffmpeg")) | (
        {"FluidSynth": _fluid()} if FLUID in names else {}
    )
    report = Report("composer", "A 20-minute journey, rendered and mastered", options, found)
    passes: Passes = {name: [] for name in names}
    async with watched_load() as load:
        with tempfile.TemporaryDirectory(prefix="parcours-bench-") as folder:
            for number, name in enumerate(turns(names, options.repeats)):
                seed = options.seed + number // len(names)
                out = Path(folder, "journey.mp3")
                command = command_of(name, seed, options.seconds, out)
                passes[name].append(await asyncio.to_thread(watch, command))
                print(f"{name}: {passes[name][-1]}", file=sys.stderr)
    tell(report, passes)
    report.notes.append(str(load))
    report.notes.append(
        "processor time depends less on what else runs than wall time does; on idle cores the wall time is at least"
        " a half of it, where two processes work"
    )
    report.notes.append("`naive` is the same engine with blocks as long as a segment, all kept until it is coded")
    return report


def tell(report: Report, passes: Passes) -> None:
    """Table, verdicts and picture of what was measured."""
    table = Table(
        f"{report.options.seconds:g} s of {PRESET} to MP3 192 kbit/s",
        ("", "wall s", "processor s", "largest process MB", "processes", "level"),
    )
    for name, made in passes.items():
        walls, cpus = spread([each.seconds for each in made]), spread([each.cpu for each in made])
        peaks = spread([each.peak_mb for each in made])
        table.add(name, walls.text(1), cpus.text(1), peaks.text(0), made[-1].processes, level_in(made[-1].said))
        report.figures[name] = {
            "wall_s": walls.plain(),
            "cpu_s": cpus.plain(),
            "peak_mb": peaks.plain(),
            "passes": [asdict(each) for each in made],
        }
    report.tables.append(table)
    _judge(report, passes)
    report.picture = Picture(lambda axes: _draw(axes, passes), "bars: wall and processor time of each, memory in words")


def level_in(said: str) -> str:
    """`-16.0 LUFS, true peak -1.3 dBTP` out of what a program printed."""
    found = re.search(r"-?[\d.]+ LUFS, true peak -?[\d.]+ dBTP", said)
    return found[0] if found else ""


def _judge(report: Report, passes: Passes) -> None:
    if OUR in passes:
        wall = spread([each.seconds for each in passes[OUR]])
        peak = max(each.peak_mb for each in passes[OUR])
        report.judge(f"journey ≤ {MOST_SECONDS:g} s", wall.median <= MOST_SECONDS, wall.text(1, " s"))
        report.judge(f"each process ≤ {MOST_MB:g} MB", peak <= MOST_MB, f"{peak:.0f} MB")
    if COLD in passes:
        cold = spread([each.seconds for each in passes[COLD]])
        report.judge(
            f"first 60 s from cold ≤ {MOST_COLD_SECONDS:g} s", cold.median <= MOST_COLD_SECONDS, cold.text(1, " s")
        )
    for name in (FLUID, NAIVE):
        if name in passes and OUR in passes:
            for what, unit in (("seconds", "s of wall"), ("cpu", "s of processor"), ("peak_mb", "MB")):
                ours, theirs = (spread([getattr(one, what) for one in passes[who]]).median for who in (OUR, name))
                if theirs < ours:
                    report.lose(f"{name}: {theirs:.0f} {unit} against our {ours:.0f}")


def _draw(axes: "Axes", passes: Passes) -> None:
    names = list(passes)[::-1]
    for shift, what in ((0.18, "seconds"), (-0.18, "cpu")):
        widths = [spread([getattr(one, what) for one in passes[name]]).median for name in names]
        label = "wall" if what == "seconds" else "processor"
        axes.barh([place + shift for place in range(len(names))], widths, 0.34, color=COLORS[what], label=label)
    for place, name in enumerate(names):
        axes.text(0, place - 0.48, f"  {passes[name][-1].peak_mb:.0f} MB", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("s")
    axes.legend(frameon=False)


def _fluid() -> str:
    said = subprocess.run(["fluidsynth", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version ([\d.]+)", said)
    return found[1] if found else "unknown"


def main() -> None:
    parser = make_parser("composer", __doc__ or "", short=Form(1200, 1), full=Form(1200, 5))
    asyncio.run(measure(read(parser))).finish()


if __name__ == "__main__":
    main()
