"""Owns showing the quality gate many files: good ones of two or three engines, every bad one, what its hearing costs.

FluidSynth is the third, where it is installed. `python -m benchmarks.gate_corpus [--good N]` prints tables and ends
with status 1 when a verdict is not as it must be.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
from collections.abc import Awaitable, Callable
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.peers.fluidsynth_journey import play
from benchmarks.rig.errors import RigError
from benchmarks.rig.sounds import need_fluidsynth, stretches
from services.archiver.domain.containers import Container
from services.archiver.domain.failures import GiveUp
from services.archiver.domain.gate import Verdict, thresholds
from services.archiver.sound import ffmpeg
from services.archiver.sound.measure import measure
from stack.audio_file import run_ffmpeg
from tests.unit.archiver.corpus import SECONDS, SPOILED, additive, codings, good, write_mp3, write_wav
from tests.unit.archiver.desk import hand_in
from tests.unit.archiver.sounds import FFMPEG

COSTED_SECONDS: Final = 305.0  # a segment of five minutes with its tail
SAMPLED: Final = 4  # pieces by FluidSynth
NO_DC: Final = ("-af", "highpass=f=35")  # FluidR3 has a constant part of 0.003, which the gate would refuse
ALLOWED_CPU_SECONDS: Final = 2.0  # more than decoding and the loudness meter take


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate_corpus")
    parser.add_argument("--good", type=int, default=40, metavar="N", help="how many good files (40)")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parcours-gate-") as folder:
        wrong = asyncio.run(_show(Path(folder), said.good))
    print(f"{wrong} verdicts are not as they must be" if wrong else "every verdict is as it must be")
    sys.exit(1 if wrong else 0)


async def _show(folder: Path, count: int) -> int:
    return await _refuses(folder) + await _takes(folder, count) + await _takes_sampled(folder) + await _costs(folder)


async def _refuses(folder: Path) -> int:
    """Every bad file, with the code it must be refused with."""
    wrong = 0
    print(f"{'bad file':28} {'must be':20} {'is':20} why")
    for name, (code, make) in SPOILED.items():
        try:
            await hand_in(folder, write_wav(folder / "bad.wav", make()))
            found, why = "taken", ""
        except GiveUp as refused:
            found, why = str(refused.code), refused.found
        wrong += found != code
        print(f"{name:28} {code:20} {found:20} {why}", flush=True)
    return wrong


async def _takes(folder: Path, count: int) -> int:
    """Good files of two engines in five codings; then how near any came to each bound."""
    refused = 0
    nearest: dict[tuple[str, str], Verdict] = {}
    hashes: dict[str, str] = {}
    for (name, sound), (file, options) in zip(good(count), codings(count), strict=True):
        try:
            made = await hand_in(folder, write_mp3(folder / file, sound, *options))
        except GiveUp as failure:
            refused += 1
            print(f"REFUSED {name} as {file}: {failure}", flush=True)
            continue
        hashes[name] = made.formed.measures.acoustic_hash
        for row in made.verdicts:
            seen = nearest.get((row.finding, f"{row.stage} {row.limit:g}"))
            if seen is None or abs(row.value - row.limit) < abs(seen.value - seen.limit):
                nearest[row.finding, f"{row.stage} {row.limit:g}"] = row
    print(f"\n{count} good files of {SECONDS} s, {refused} refused; the nearest to each bound:")
    for row in nearest.values():
        print(f"  {row.check:14} {row.stage:9} {row.finding:20} {row.value:10.3f} of {row.limit:g}")
    apart = [_bits(one, other) for one, other in combinations(hashes.values(), 2)]
    listed = thresholds().different_share
    print(f"  acoustic hashes differ in at least {min(apart):.2f} of their bits (a listed sound: up to {listed:g})")
    return refused


async def _takes_sampled(folder: Path) -> int:
    """Pieces played with recorded samples, louder at their beginnings than anything of ours."""
    try:
        need_fluidsynth()
    except RigError as error:
        print(f"\nwithout a third engine: {error}")
        return 0
    refused = 0
    for seed in range(1, SAMPLED + 1):
        try:
            piece = folder / f"sampled-{seed}.wav"
            played = await asyncio.to_thread(play, stretches(seed, SECONDS)[0], folder)
            await run_ffmpeg("-i", str(played), *NO_DC, str(piece))
            made = await hand_in(folder, piece)
        except GiveUp as failure:
            refused += 1
            print(f"REFUSED FluidSynth {seed}: {failure}", flush=True)
        else:
            rises = [f"{row.value:.1f} of {row.limit:g}" for row in made.verdicts if row.finding == "rise_50ms_db"]
            print(f"FluidSynth {seed}: taken; rise within 50 ms, dB: {rises[0]}", flush=True)
    return refused


def _bits(one: str, other: str) -> float:
    return (int(one, 16) ^ int(other, 16)).bit_count() / (4 * len(one))


async def _costs(folder: Path) -> int:
    """Processor time to hear a file, against decoding and the loudness meter alone."""
    path = write_mp3(folder / "long.mp3", np.tile(additive(61), 5)[:, : round(COSTED_SECONDS * 44100)])
    plain = await _cpu(lambda: _decode(path))
    ours = await _cpu(lambda: measure(FFMPEG, path, Container.MP3, keep_seconds=None))
    print(f"\nhearing {COSTED_SECONDS:g} s: {ours:.2f} s of processor; decoding and meter alone: {plain:.2f} s")
    return int(ours - plain > ALLOWED_CPU_SECONDS)


async def _decode(path: Path) -> None:
    graph = "[0:a:0]ebur128=peak=true:framelog=verbose[m]"
    source = ffmpeg.source(path, Container.MP3)
    await ffmpeg.run(FFMPEG, [*source, "-filter_complex", graph, "-map", "[m]", "-f", "null", "-"])


async def _cpu(work: Callable[[], Awaitable[object]]) -> float:
    def spent() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)

    before = spent()
    await work()
    return spent() - before


if __name__ == "__main__":
    main()
