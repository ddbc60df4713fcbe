"""Owns the listener of the benchmarks: asks for a journey over raw sockets and stamps what it sends and receives."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

ANSWER_SECONDS: Final = 20.0
FIRST_SOUND_SECONDS: Final = 30.0
FIRST: Final = b"event: segment.first\n"


class RefusedError(Exception):
    """An answer that is no success."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One run as its listener saw it; seconds of the wall clock."""

    run_id: str
    segment_id: str
    asked_at: float
    answered_at: float
    first_at: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The two parts of the time that is ours, in ms."""

    run_id: str
    segment_id: str
    asked_at: float
    answered_at: float
    posted_at: float
    called_at: float
    first_at: float

    @property
    def answer(self) -> float:
        return (self.answered_at - self.asked_at) * 1000

    @property
    def submission(self) -> float:
        """`POST /v1/runs` sent → the provider has our submission."""
        return (self.posted_at - self.asked_at) * 1000

    @property
    def news(self) -> float:
        """The provider sent `first` → its bytes are at the listener."""
        return (self.first_at - self.called_at) * 1000

    @property
    def total(self) -> float:
        return self.submission + self.news


async def hear(host: str, port: int, body: bytes, token: str) -> Heard:
    """Start a run and listen until its first sound is announced. Both connections are open before the clock starts."""
    asking = await asyncio.open_connection(host, port)
    listening = await asyncio.open_connection(host, port)
    try:
        head = _head("POST", "/v1/runs", host, port, token, len(body))
        asked_at = time.time()
        asking[1].write(head + body)
        created = await _answer(asking[0])
        answered_at = time.time()
        run_id, segment_id = str(created["runId"]), str(created["segments"][0]["id"])
        listening[1].write(_head("GET", f"/v1/runs/{run_id}/events", host, port, token, 0))
        first_at = await _until(listening[0], FIRST)
    finally:
        asking[1].close()
        listening[1].close()
    return Heard(run_id, segment_id, asked_at, answered_at, first_at)


async def ask(host: str, port: int, body: bytes, token: str, key: str) -> str:
    """Start a run, or find the one this key started, and return the id of its first segment; else raise OSError."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        head = _head("POST", "/v1/runs", host, port, token, len(body), f"Idempotency-Key: {key}\r\n")
        writer.write(head + body)
        created = await _answer(reader)
    except (asyncio.IncompleteReadError, RefusedError) as error:
        raise ConnectionError(str(error)) from error
    finally:
        writer.close()
    return str(created["segments"][0]["id"])


async def stamps(port: int) -> dict[str, Any]:
    """What the recorder has noted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_head("GET", "/_rec/stamps", "127.0.0.1", port, "", 0))
        return await _answer(reader)
    finally:
        writer.close()


async def expect_crowd(port: int, *, crowd: bool) -> None:
    """Tell the recorder how long to wait with `first`."""
    body = b"1" if crowd else b"0"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_head("PUT", "/_rec/crowd", "127.0.0.1", port, "", len(body)) + body)
        await _answer(reader)
    finally:
        writer.close()


def samples(heard: Sequence[Heard], noted: dict[str, Any]) -> list[Sample]:
    """Join what the listeners saw with what the provider noted."""
    posted, called = noted["posted"], noted["called"]
    return [
        Sample(
            each.run_id,
            each.segment_id,
            each.asked_at,
            each.answered_at,
            posted[each.segment_id][0],
            called[each.segment_id],
            each.first_at,
        )
        for each in heard
    ]


def _head(method: str, path: str, host: str, port: int, token: str, length: int, more: str = "") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n"
    ).encode()


async def _answer(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The JSON body of an answer with a Content-Length."""
    async with asyncio.timeout(ANSWER_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        body = await reader.readexactly(length)
    if status not in (200, 201):
        raise RefusedError(f"the answer was {status}: {body[:300]!r}")
    found: dict[str, Any] = orjson.loads(body)
    return found


async def _until(reader: asyncio.StreamReader, mark: bytes, seconds: float = FIRST_SOUND_SECONDS) -> float:
    """When these bytes had arrived; fails on another answer than an event stream."""
    seen = b""
    async with asyncio.timeout(seconds):
        while mark not in seen:
            piece = await reader.read(65536)
            if not piece:
                raise RuntimeError(f"the stream ended: {seen[-300:]!r}")
            seen = (seen + piece)[-8192:]
    return time.time()


@dataclass(frozen=True, slots=True)
class Journey:
    """A whole run as its listener saw it; seconds of the wall clock, `ended_at` of `run.ready` or `run.failed`."""

    run_id: str
    segment_ids: tuple[str, ...]
    asked_at: float
    first_at: float
    ended_at: float
    ready: bool


async def follow(host: str, port: int, body: bytes, token: str, seconds: float) -> Journey:
    """Start a run and listen until it is ready or failed."""
    asking = await asyncio.open_connection(host, port)
    listening = await asyncio.open_connection(host, port)
    try:
        asked_at = time.time()
        asking[1].write(_head("POST", "/v1/runs", host, port, token, len(body)) + body)
        created = await _answer(asking[0])
        run_id = str(created["runId"])
        listening[1].write(_head("GET", f"/v1/runs/{run_id}/events", host, port, token, 0))
        async with asyncio.timeout(seconds):
            first_at = await _until(listening[0], FIRST, seconds)
            ended_at, ready = await _end(listening[0])
    finally:
        asking[1].close()
        listening[1].close()
    ids = tuple(str(each["id"]) for each in created["segments"])
    return Journey(run_id, ids, asked_at, first_at, ended_at, ready)


async def _end(reader: asyncio.StreamReader) -> tuple[float, bool]:
    """When the run ended, and whether it is ready."""
    seen = b""
    while b"event: run.ready\n" not in seen and b"event: run.failed\n" not in seen:
        piece = await reader.read(65536)
        if not piece:
            raise ConnectionError("the stream ended before the run")
        seen = (seen + piece)[-65536:]
    return time.time(), b"event: run.ready\n" in seen
