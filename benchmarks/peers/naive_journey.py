"""Owns the naive rendering: the same engine and score, each segment and then the whole journey as one array.

`python -m benchmarks.peers.naive_journey SEED SECONDS OUT`
"""

import asyncio
import sys
from pathlib import Path

import numpy as np

from benchmarks.rig.sounds import stretches
from services.composer.engine import render
from services.composer.engine.encode import Mp3Stream
from services.composer.engine.plan import SAMPLE_RATE
from services.composer.engine.score import PREROLL_SECONDS
from stack.audio_file import loudness_of

JOIN = 5 * SAMPLE_RATE


def main() -> None:
    seed, seconds, out = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    pieces = stretches(seed, seconds)
    instrument = render.Instrument()
    whole = np.zeros((2, sum(each.samples - each.tail for each in pieces)), np.float32)
    angle = np.linspace(0, np.pi / 2, JOIN, dtype=np.float32)
    start = 0
    for each in pieces:
        render.BLOCK_SAMPLES = each.plan.file_samples + round((PREROLL_SECONDS + 1) * SAMPLE_RATE)  # one block
        sound = np.concatenate(list(instrument.blocks(each.plan)), axis=1)[:, : each.samples]
        if start:
            joined = min(JOIN, each.samples)
            sound[:, :joined] *= np.sin(angle[:joined])
            whole[:, start : start + joined] *= np.cos(angle[:joined])
        whole[:, start : start + each.samples] += sound
        start += each.samples - each.tail
    stream = Mp3Stream(whole.shape[1], kilobits=192, quality=2)
    out.write_bytes(stream.header() + stream.add(whole) + stream.close())
    found = asyncio.run(loudness_of(out))
    print(f"{found.integrated:.1f} LUFS, true peak {found.true_peak:.1f} dBTP")


if __name__ == "__main__":
    main()
