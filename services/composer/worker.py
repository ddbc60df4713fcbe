"""Owns one rendering process: takes tasks, works on the most urgent one block by block, reports what grew.

Between two blocks (10 s of sound, about 0.3 s of work) it looks for new tasks, so a preview never waits for a final.
It ends when the service's end of the socket closes, however the service died.
"""

import contextlib
import hashlib
import heapq
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from services.composer.engine.encode import Mp3Stream
from services.composer.engine.labels import id3_tag
from services.composer.engine.level import TOLERANCE_LU
from services.composer.engine.monitor import Monitor
from services.composer.engine.padsynth import Stereo
from services.composer.engine.plan import SegmentPlan
from services.composer.engine.render import Instrument
from services.composer.engine.score import Score, compose
from services.composer.prompt import plan_of_prompt
from services.composer.wire import COLD, Broken, Finished, Grown, Kind, Measures, Ready, RenderTask, Report, TaskSource

NICENESS = 5  # rendering yields to the services that answer people
QUALITIES = {"preview": (128, 7), "final": (192, 2)}  # kbit/s, LAME quality (§6.2)


@dataclass(order=True)
class _Job:
    rank: tuple[int, int]
    id: int
    reports: Iterator[Report] = field(compare=False)


class Samples:
    """In place of MP3: interleaved 32-bit floats, little endian, as the engine made them."""

    def header(self) -> bytes:
        return b""

    def add(self, block: Stereo) -> bytes:
        return np.ascontiguousarray(block.T, "<f4").tobytes()

    def close(self) -> bytes:
        return b""


def _stream_of(kind: Kind, samples: int) -> Mp3Stream | Samples:
    if kind == "sound":
        return Samples()
    kilobits, quality = QUALITIES[kind]
    return Mp3Stream(samples, kilobits=kilobits, quality=quality)


class Renderer:
    """Makes files; one per process, since loops and voices are shared and not thread-safe."""

    def __init__(self) -> None:
        self._instrument = Instrument()

    def warm_up(self) -> None:
        """Import, plan and compute what the first preview would otherwise wait for."""
        next(self._instrument.blocks(plan_of_prompt("70 BPM steady, D dorian", "warm-up", 30.0)))

    def render(self, task: RenderTask) -> Iterator[Report]:
        """Write the file while it grows; a final outside ± 0.5 LU of its target is made again at the right level."""
        began = time.perf_counter()
        score = compose(task.plan)
        gain_db = 0.0
        while True:
            encoding = _Encoding(task, score)
            with Path(task.path).open("wb") as file:
                for chunk in encoding.chunks(self._instrument, gain_db):
                    file.write(chunk)
                    file.flush()
                    yield Grown(task.id, file.tell())
            error_lu = encoding.heard.lufs - task.plan.target_lufs
            is_whole = task.kind == "final" and not task.plan.from_seconds
            if abs(error_lu) <= TOLERANCE_LU or gain_db or not is_whole:
                break
            gain_db = -error_lu
        measures = _measures(task.plan, score, encoding.heard, gain_db, time.perf_counter() - began)
        yield Finished(task.id, encoding.size, encoding.digest.hexdigest(), measures)


class _Encoding:
    """One pass over a segment: blocks through monitor and coder."""

    def __init__(self, task: RenderTask, score: Score) -> None:
        self._plan = task.plan
        self._score = score
        self._samples = task.samples
        self._stream = _stream_of(task.kind, self._samples)
        self._labels = b"" if task.kind == "sound" else id3_tag(task.plan)
        self.heard = Monitor()
        self.digest = hashlib.sha256()
        self.size = 0

    def chunks(self, instrument: Instrument, gain_db: float) -> Iterator[bytes]:
        done = 0
        header = self._labels + self._stream.header()
        for block in instrument.blocks(self._plan, self._score, 10 ** (gain_db / 20)):
            wanted = block[:, : self._samples - done]
            self.heard.add(wanted)
            yield self._counted(header + self._stream.add(wanted))
            header = b""
            done += wanted.shape[1]
            if done >= self._samples:
                break
        yield self._counted(self._stream.close())

    def _counted(self, chunk: bytes) -> bytes:
        self.digest.update(chunk)
        self.size += len(chunk)
        return chunk


def _measures(plan: SegmentPlan, score: Score, heard: Monitor, gain_db: float, seconds: float) -> Measures:
    start = plan.span.start_seconds
    return Measures(
        lufs=round(heard.lufs, 2),
        peak_dbtp=round(heard.peak_dbtp, 2),
        centroid_hz=round(heard.centroid_hz, 1),
        bpm_start=round(plan.path.at(start).bpm, 2),
        bpm_end=round(plan.path.at(start + plan.span.seconds).bpm, 2),
        preview_gain_db=round(gain_db, 2),
        quiet_points_ms=score.quiet_points_ms,
        render_seconds=round(seconds, 3),
    )


def serve(source: TaskSource, *, warm: bool = True) -> None:
    """Work until the service is gone (EOFError)."""
    renderer = Renderer()
    if warm:
        renderer.warm_up()
    source.report(Ready())
    jobs: list[_Job] = []
    while True:
        while not jobs or source.waiting():
            task = source.take()
            heapq.heappush(jobs, _Job(task.rank, task.id, renderer.render(task)))
        try:
            report = next(jobs[0].reports)
        except Exception as error:  # noqa: BLE001 - whatever a plan does to the engine, the other tasks go on
            report = Broken(jobs[0].id, f"{type(error).__name__}: {error}")
        if isinstance(report, Finished | Broken):
            heapq.heappop(jobs)
        source.report(report)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the service's to answer; the closed socket ends us
    os.nice(NICENESS)
    with socket.socket(fileno=int(sys.argv[1])) as link, contextlib.suppress(EOFError, ConnectionError):
        serve(TaskSource(link), warm=COLD not in sys.argv)


if __name__ == "__main__":
    main()
