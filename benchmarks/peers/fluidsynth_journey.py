"""Owns the composer's score played by FluidSynth with the FluidR3 soundfont, joined and mastered like a demo's journey.

`python -m benchmarks.peers.fluidsynth_journey SEED SECONDS OUT`
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.midi import midi_of
from benchmarks.rig.sounds import SOUNDFONT, stretches
from services.composer.engine.score import compose
from stack.composing import Stretch
from stack.journey import join

GAIN = "0.5"  # the loudest of it stays below full scale


def play(stretch: Stretch, folder: Path) -> Path:
    """One segment as WAV: FluidSynth renders faster than time when it writes to a file."""
    place = stretch.plan.index
    score, sound = folder / f"{place}.mid", folder / f"{place}.wav"
    score.write_bytes(midi_of(compose(stretch.plan).notes, stretch.samples))
    quiet = ["fluidsynth", "-q", "-n", "-i", "-g", GAIN, "-r", "44100", "-T", "wav", "-O", "s16", "-F", str(sound)]
    subprocess.run([*quiet, str(SOUNDFONT), str(score)], check=True, stdout=subprocess.DEVNULL)
    return sound


def played(seed: int, seconds: float, folder: Path) -> Iterator[Path]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda stretch: play(stretch, folder), stretches(seed, seconds))


def main() -> None:
    seed, seconds, out = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        journey = asyncio.run(join(list(played(seed, seconds, Path(folder))), out))
    print(f"{journey.loudness.integrated:.1f} LUFS, true peak {journey.loudness.true_peak:.1f} dBTP")


if __name__ == "__main__":
    main()
