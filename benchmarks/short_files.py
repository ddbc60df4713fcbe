"""Short files: 90 s, 170 s and 250 s where 305 s are planned, one take or two, by the archiver with a real composer."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import httpx
import numpy as np

from benchmarks.rig.machine import versions
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Report, Table
from services.archiver.clients.composer import Composer
from services.archiver.clients.files import Files
from services.archiver.domain import form
from services.archiver.domain.addresses import AllowList
from services.archiver.domain.failures import MayPass
from services.archiver.domain.joins import JOIN_SECONDS
from services.archiver.handlers.taking import Made
from services.archiver.handlers.tools import PlayOn
from tests.integration.composer.running import KEY, started
from tests.unit.archiver.corpus import RATE, STYLES, Stereo, additive, composed, write_mp3
from tests.unit.archiver.desk import hand_in
from tests.unit.archiver.sounds import FFMPEG
from tests.unit.composer.journeys import example_a

RAW_SECONDS: Final = (90, 170, 250)
FADES: Final = (12.0, 20.0, 30.0)  # s; at which the amplitude of a provider's file falls to nothing
WINDOW_SECONDS: Final = 3.0  # audio-and-player.md §8: level of a join against the mean of both sides
MOST_DIP_DB: Final = 1.0
MOST_CLICK: Final = 1.5  # third difference at a join against the programme's own (§8)
SEGMENTS: Final = 4

Make = Callable[[float, int], Stereo]


@dataclass(frozen=True)
class Judged:
    """What a finished file is, by its samples alone."""

    samples: int
    dip_db: float  # the worst join
    usual_db: float  # the same figure everywhere else, 95 of 100 are below
    click: float
    excess: float


def main() -> None:
    parser = make_parser("short_files", __doc__ or "", short=Form(305, 1), full=Form(305, 3))
    asyncio.run(measure(read(parser))).finish()


async def measure(options: Options) -> Report:
    """The six cases with the music of two engines, then where a join lies in a slow fade-out."""
    title = "Short files: complete, exactly long, no dip and no click where they are joined"
    report = Report("short_files", title, options, versions(("imageio-ffmpeg", "numpy", "lameenc")))
    columns = ("case", "parts", "samples off", "join dips dB", "elsewhere p95 dB", "click ratio", "gate's excess")
    cases = Table(f"{options.seconds:g} s planned", columns)
    report.tables.append(cases)
    worst: list[Judged] = []
    with tempfile.TemporaryDirectory(prefix="parcours-short-") as folder:
        async with _composer(Path(folder)) as play_on:
            for name, make in _engines(options):
                for seed in options.seeds:
                    worst += await _cases(cases, name, make, seed, options.seconds, Path(folder), play_on)
            report.tables.append(await _fades(options, Path(folder), play_on))
    wanted = round(options.seconds * RATE)
    found = max(abs(one.samples - wanted) for one in worst)
    report.judge("exactly as long as planned, within a sample", found <= 1, f"{found} samples off at most")
    dip = max(one.dip_db for one in worst)
    report.judge(f"no join dips by more than {MOST_DIP_DB:g} dB", dip <= MOST_DIP_DB, f"{dip:.2f} dB at most")
    click = max(one.click for one in worst)
    held = click <= MOST_CLICK and max(one.excess for one in worst) <= 1
    report.judge("no click at a join, by samples and by the gate", held, f"{click:.2f} of the programme's own at most")
    report.notes.append(
        "A dip is the level of the 3 s in the middle of a join against the mean of the 3 s on either side; `elsewhere` "
        "is the same figure over all places of the file that are no join: music moves by itself."
    )
    report.notes.append("Provider's files are MP3s of 192 kbit/s whose amplitude falls over their last 12 s.")
    return report


def _engines(options: Options) -> Iterator[tuple[str, Make]]:
    makes: Mapping[str, Make] = {
        "additive": lambda seconds, seed: additive(seconds, seed=seed),
        "pad3": lambda seconds, seed: composed(STYLES[seed % len(STYLES)], f"short {seed}", seconds),
    }
    return ((name, make) for name, make in makes.items() if options.takes_part(name))


async def _cases(
    table: Table, name: str, make: Make, seed: int, seconds: float, folder: Path, play_on: PlayOn
) -> list[Judged]:
    judged: list[Judged] = []
    for raw in RAW_SECONDS:
        takes = [
            write_mp3(folder / f"take-{number}.mp3", faded(make(raw, seed + number), FADES[0])) for number in range(2)
        ]
        for count in (1, 2):
            made = await _archive(takes[:count], seconds, folder, play_on)
            judged.append(_judge(made))
            one = judged[-1]
            table.add(
                f"{name}, {raw} s, {count} take{'s' * (count > 1)}",
                _parts(made),
                one.samples - round(seconds * RATE),
                *(f"{value:.2f}" for value in (one.dip_db, one.usual_db, one.click, one.excess)),
            )
            print(" | ".join(table.rows[-1]), flush=True)
    return judged


async def _fades(options: Options, folder: Path, play_on: PlayOn) -> Table:
    """A join that ends where the last second is within 6 dB of the median, and ours."""
    table = Table("one take of 90 s with a slower fade-out", ("fade-out s", "6 dB alone: dips dB", "ours: dips dB"))
    for fade in FADES:
        take = write_mp3(folder / "fade.mp3", faded(additive(90, seed=options.seed), fade))
        ours = _judge(await _archive([take], options.seconds, folder, play_on))
        with patch.object(form, "FADE_UNHEARD_DB", 99.0):
            words = _judge(await _archive([take], options.seconds, folder, play_on))
        table.add(f"{fade:g}", f"{words.dip_db:.2f}", f"{ours.dip_db:.2f}")
    return table


async def _archive(takes: Sequence[Path], seconds: float, folder: Path, play_on: PlayOn) -> Made:
    plan: dict[str, Any] = {"file_seconds": seconds, "x_parcours": _exact(round(seconds)), "loudness_lufs": -16.0}
    while True:
        try:
            return await hand_in(folder, *takes, play_on=play_on, **plan)
        except MayPass as pause:  # on a busy machine composer is late, and the job comes again
            print(f"again: {pause.reason}", file=sys.stderr)


def _exact(seconds: int) -> dict[str, Any]:
    """The second of four segments of example A's journey, as long as planned."""
    spans = [
        {**example_a(0)["timeline"][place], "start_seconds": place * (seconds - 5), "seconds": seconds - 5}
        for place in range(SEGMENTS)
    ]
    changes = {"segment_count": SEGMENTS, "segment_start_seconds": seconds - 5, "total_seconds": SEGMENTS * seconds}
    return example_a(1, seconds=seconds - 5, file_seconds=seconds, timeline=spans, **changes)


@asynccontextmanager
async def _composer(folder: Path) -> AsyncIterator[PlayOn]:
    running = await started(folder, 1)
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            files = Files(AllowList.of((), (running.url,)))
            yield Composer(client, files, running.url, KEY).play_on
    finally:
        await running.client.aclose()
        running.process.terminate()
        await running.process.wait()


def faded(sound: Stereo, seconds: float) -> Stereo:
    """As most providers end: the amplitude falls in a straight line."""
    count = round(seconds * RATE)
    gain = np.minimum(1.0, np.arange(sound.shape[1], 0, -1) / count)
    return np.asarray(sound * gain, np.float32)


def _judge(made: Made) -> Judged:
    command = [str(FFMPEG), "-v", "error", "-i", str(made.formed.path), "-f", "f32le", "-ac", "2", "-"]
    pcm = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, "<f4").reshape(-1, 2)
    joins = list(_joins(made))
    half = round(JOIN_SECONDS / 2 * RATE)
    power = np.cumsum(np.concatenate(([0.0], np.square(pcm, dtype=np.float64).mean(axis=1))))
    near = [place for join in joins for place in range(join - 4 * half, join + 4 * half, RATE // 10)]
    others = [
        _dip(power, place, half) for place in range(3 * half, len(pcm) - 3 * half, RATE) if not _is_near(place, near)
    ]
    jumps = np.abs(np.diff(pcm.mean(axis=1), n=3))
    inside = np.zeros(len(jumps), bool)
    for join in joins:
        inside[max(0, join - half - RATE // 10) : join + half + RATE // 10] = True
    dips = [_dip(power, join, half) for join in joins]
    click = float(jumps[inside].max() / jumps[~inside].max()) if joins else 0.0
    excess = next((row.value for row in made.verdicts if row.finding == "join_click_excess"), 0.0)
    return Judged(len(pcm), max(dips), float(np.percentile(others, 95)), click, excess)


def _is_near(place: int, near: Sequence[int]) -> bool:
    return bool(near) and min(near) <= place <= max(near)


def _dip(power: np.ndarray[Any, np.dtype[np.float64]], middle: int, half: int) -> float:
    size = round(WINDOW_SECONDS * RATE)
    starts = (middle - half - size, middle + half, middle - size // 2)
    left, right, inside = (10 * np.log10((power[start + size] - power[start]) / size) for start in starts)
    return float((left + right) / 2 - inside)


def _joins(made: Made) -> Iterator[int]:
    """The middle of each join, in samples."""
    end = 0.0
    for part in made.formed.parts[:-1]:
        end += float(str(part["to_seconds"])) - float(str(part["from_seconds"]))
        yield round((end - JOIN_SECONDS / 2) * RATE)
        end -= JOIN_SECONDS


def _parts(made: Made) -> str:
    return " + ".join(
        f"{part['source']} {part['take']}: {part['from_seconds']:g}–{part['to_seconds']:g}"
        for part in made.formed.parts
    )


if __name__ == "__main__":
    main()
