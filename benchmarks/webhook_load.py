"""Owns the load generator of `callback`: raw sockets, requests built before the clock starts, a process of its own.

`python -m benchmarks.webhook_load JOB` prints one JSON line. A cheap sender leaves the machine to what is measured: it
costs some 40 µs of processor a request, where a client library takes ten times that.
"""

import asyncio
import gc
import hashlib
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from uuid import UUID

import orjson
import uvloop

STAGES: Final = ("text", "first", "complete")
BODY_BYTES: Final = 2048
APART: Final = 64  # attempts between two webhooks of one, so that they are not on the way together
DRAIN_SECONDS: Final = 20.0
STREAM: Final = "https://musicfile.api.box/6b1d0f6e-5a53-4f0c-9d62-3f6f0d1a7b21"


@dataclass(frozen=True)
class Job:
    """What to send where. `rate` 0: closed loop, each connection sends when it is answered."""

    port: int
    target: str  # with {segment} and {token}, or neither
    seed: str  # ids and tokens of the attempts come from it, here and in the database
    begin: int  # number of the first attempt
    attempts: int
    connections: int
    seconds: float
    rate: float = 0.0


@dataclass
class Outcome:
    """What came back. Times in ms, from the moment a request was due (open loop) or sent (closed loop)."""

    seconds: float = 0.0
    processor_seconds: float = 0.0  # of this process, while it sent
    answered: int = 0
    skipped: int = 0
    refused: int = 0
    unanswered: int = 0
    times: list[float] = field(default_factory=list)


def made_id(seed: str, kind: str, number: int) -> UUID:
    """The same in SQL: md5(seed || kind || number)::uuid."""
    return UUID(hashlib.md5(f"{seed}{kind}{number}".encode(), usedforsecurity=False).hexdigest())


def body(stage: str, task_id: str) -> bytes:
    """A webhook of the reseller's dialect with two songs, filled up to 2 kB by the second one's prompt."""
    songs: list[dict[str, Any]] = [_song(stage, number) for number in range(2)]
    told = {"callbackType": stage, "task_id": task_id, "data": songs}
    raw = orjson.dumps({"code": 200, "msg": "generated successfully.", "data": told})
    songs[1]["prompt"] = "[Verse] " + "la " * ((BODY_BYTES - len(raw)) // 3)
    return orjson.dumps({"code": 200, "msg": "generated successfully.", "data": told})


def _song(stage: str, number: int) -> dict[str, Any]:
    stream = f"{STREAM}-{number}"
    file = f"{stream}.mp3" if stage == "complete" or (stage == "first" and number == 0) else ""
    named = {
        "audio_url": file,
        "stream_audio_url": stream,
        "image_url": f"{stream}.jpeg",
        "model_name": "chirp-bluejay",
    }
    told = {"id": f"6b1d0f6e-5a53-4f0c-9d62-3f6f0d1a7b2{number}", "prompt": "", "title": "Dawn", "tags": "folk, warm"}
    timed = {"duration": 182.4} if file else {}
    return told | named | timed | {"createTime": 1760000000000}


def requests(job: Job) -> Iterator[bytes]:
    """Each attempt's text, first and complete, the next stage of one after the others of its group."""
    for group in range(job.begin, job.begin + job.attempts, APART):
        numbers = range(group, min(group + APART, job.begin + job.attempts))
        for stage in STAGES:
            for number in numbers:
                content = body(stage, made_id(job.seed, "task", number).hex)
                segment, token = made_id(job.seed, "segment", number), made_id(job.seed, "token", number)
                target = job.target.format(segment=segment, token=token)
                head = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{job.port}\r\nContent-Type: application/json\r\n"
                yield f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


class Line(asyncio.Protocol):
    """One connection: a request, then its whole answer."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._began = 0.0
        self._received = b""
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.busy:
            self._load.outcome.unanswered += 1
        self.busy = True  # never used again

    def send(self, request: bytes, since: float) -> None:
        self.busy, self._began = True, since
        self._transport.write(request)  # type: ignore[attr-defined]  # a TCP transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, rest = self._received.partition(b"\r\n\r\n")
        marked = head.lower().partition(b"content-length:")[2]
        if not marked or len(rest) < int(marked.partition(b"\r\n")[0]):
            return
        self._received = b""
        self.busy = False
        self._load.heard(self, head, rest, time.perf_counter() - self._began)


class Load:
    """Sends what is due and notes what comes back."""

    def __init__(self, job: Job, prepared: list[bytes]) -> None:
        self._job = job
        self._ready = deque(prepared)
        self._due: deque[float] = deque()  # open loop: what waits for a connection, by the time it was due
        self._lines: list[Line] = []
        self._ends = 0.0
        self._last = 0.0
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        loop = asyncio.get_running_loop()
        for _ in range(self._job.connections):
            _, line = await loop.create_connection(lambda: Line(self), "127.0.0.1", self._job.port)
            self._lines.append(line)
        began, worked = time.perf_counter(), time.process_time()
        self._ends = began + self._job.seconds
        if self._job.rate:
            await self._open_loop(began)
        else:
            for line in self._lines:
                self._next(line)
        while self._due or any(line.busy for line in self._lines):
            if time.perf_counter() > self._ends + DRAIN_SECONDS:
                self.outcome.unanswered += len(self._due) + sum(line.busy for line in self._lines)
                break
            await asyncio.sleep(0.01)
        self.outcome.seconds = self._last - began
        self.outcome.processor_seconds = time.process_time() - worked
        return self.outcome

    async def _open_loop(self, began: float) -> None:
        """Send at the intended times, however late the answers are; what finds no free connection waits, and counts."""
        number = 0
        while (due := began + number / self._job.rate) < self._ends and self._ready:
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            self._due.append(due)
            number += 1
            if line := next((each for each in self._lines if not each.busy), None):
                self._next(line)

    def heard(self, line: Line, head: bytes, content: bytes, seconds: float) -> None:
        self._last = time.perf_counter()
        if head.startswith(b"HTTP/1.1 2"):
            self.outcome.answered += 1
            self.outcome.skipped += b"skipped" in content
        else:
            self.outcome.refused += 1
        self.outcome.times.append(round(seconds * 1000, 4))
        self._next(line)

    def _next(self, line: Line) -> None:
        if self._job.rate:
            if self._due and self._ready:
                line.send(self._ready.popleft(), self._due.popleft())
        elif self._ready and (now := time.perf_counter()) < self._ends:
            line.send(self._ready.popleft(), now)


def main() -> None:
    job = Job(**orjson.loads(sys.argv[1]))
    prepared = list(requests(job))
    gc.disable()  # no pause of the sender's own may count as the service's
    outcome = uvloop.run(Load(job, prepared).run())
    sys.stdout.buffer.write(orjson.dumps(asdict(outcome)) + b"\n")


if __name__ == "__main__":
    main()
