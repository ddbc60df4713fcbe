"""Owns the talk between the service and its workers: length-prefixed pickles over a socket pair, both ends ours."""

import pickle
import select
import socket
import struct
from asyncio import StreamReader
from dataclasses import dataclass
from typing import Literal

from services.composer.engine.plan import SegmentPlan

_LENGTH = struct.Struct("!I")

COLD = "cold"  # to a worker that shall not warm up

Kind = Literal["preview", "final", "sound"]  # the last: the samples themselves, for who joins and codes a whole run


@dataclass(frozen=True, slots=True)
class RenderTask:
    """One file to make. Lower `rank` first: previews before finals, then older before younger."""

    id: int
    plan: SegmentPlan
    kind: Kind
    path: str
    rank: tuple[int, int]
    most_samples: int | None = None  # of a `sound`: only the file's beginning

    @property
    def samples(self) -> int:
        """How many the file will hold."""
        if self.kind == "preview":
            return self.plan.preview_samples
        return self.plan.samples if self.most_samples is None else min(self.plan.samples, self.most_samples)


@dataclass(frozen=True, slots=True)
class Measures:
    """What the worker measured while it rendered."""

    lufs: float  # of the PCM, which the coded file keeps (§2.2)
    peak_dbtp: float  # true peak, before coding
    centroid_hz: float  # A-weighted
    bpm_start: float
    bpm_end: float
    preview_gain_db: float  # brings the preview to the final's level; 0 unless the final was corrected
    quiet_points_ms: tuple[int, ...]
    render_seconds: float


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker is warm."""


@dataclass(frozen=True, slots=True)
class Grown:
    """So many bytes of the file can be read."""

    id: int
    size: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The file is whole."""

    id: int
    size: int
    sha256: str
    measures: Measures


@dataclass(frozen=True, slots=True)
class Broken:
    """The task raised; the worker lives on."""

    id: int
    error: str


Report = Ready | Grown | Finished | Broken


def packed(message: RenderTask | Report) -> bytes:
    body = pickle.dumps(message)
    return _LENGTH.pack(len(body)) + body


async def next_report(reader: StreamReader) -> Report:
    """Raises IncompleteReadError when the worker is gone."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    report: Report = pickle.loads(await reader.readexactly(length))  # noqa: S301 - written by our own worker
    return report


class TaskSource:
    """The worker's end: blocking, and able to look whether something waits."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link

    def waiting(self) -> bool:
        return bool(select.select([self._link], [], [], 0)[0])

    def take(self) -> RenderTask:
        """Wait for the next task; raises EOFError when the service is gone."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        task: RenderTask = pickle.loads(self._exactly(length))  # noqa: S301 - written by our own service
        return task

    def report(self, report: Report) -> None:
        self._link.sendall(packed(report))

    def _exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            part = self._link.recv(count - len(received))
            if not part:
                raise EOFError("the service is gone")
            received += part
        return bytes(received)
