"""Owns answers that no framework has: a dropped connection, none at all, a file that drips, one that still grows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import httpx
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stack.simulators.suno.clock import Clock
from stack.simulators.suno.sound import CHUNK, Cut
from stack.simulators.suno.tasks import FAILED, Task

DROP: Final = "parcours.drop"  # ASGI extension of our server: closes the connection when what was sent is out
_BEAT: Final = 0.2  # real seconds between two pieces of a slow body
_TURNS: Final = 3  # of the event loop until a closed connection is known to be lost
_HEAD_START: Final = 0.05  # of the audio exists when a stream begins
_MOST: Final = 0.98  # of it before the task is done: one that is stuck never gets to its end


class Dropped(Response):
    """Closes the connection after `sent`, the beginning of a body of `size` bytes; without both, before any byte."""

    def __init__(self, sent: bytes = b"", size: int | None = None, media_type: str = "audio/mpeg") -> None:
        super().__init__(media_type=media_type)
        self._sent = sent
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        drop = scope.get("extensions", {}).get(DROP)
        if drop is None:  # in process
            raise httpx.ReadError("the connection was dropped")
        if self._size is not None:
            headers = [(b"content-type", b"audio/mpeg"), (b"content-length", str(self._size).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": self._sent, "more_body": True})
        drop()
        await _until_gone(receive, drop)


class Unanswered(Response):
    """Never says anything; ends when the caller leaves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        await _until_gone(receive, scope.get("extensions", {}).get(DROP))


async def _until_gone(receive: Receive, drop: Callable[[], None] | None) -> None:
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except asyncio.CancelledError:  # our server ends: no answer to the last
        if drop is None:
            raise
        drop()
        for _ in range(_TURNS):
            await asyncio.sleep(0)


async def dripping(cut: Cut, size: int, seconds: float, clock: Clock) -> AsyncIterator[bytes]:
    """A body that takes so many provider seconds."""
    beats = max(1, round(seconds / clock.speed / _BEAT))
    for beat in range(beats):
        await clock.sleep(seconds / beats)
        yield cut.read(size * beat // beats, size * (beat + 1) // beats)


async def growing(task: Task, cut: Cut, clock: Clock) -> AsyncIterator[bytes]:
    """The frames as they come to be: from `first` on, all there at `complete`; torn when the task fails."""
    start = sent = len(cut.head)  # nobody knows the length of what is being made
    _text, first, complete = task.stages
    while sent < cut.size:
        passed = (clock.now() - task.began - first) / max(complete - first, 1e-9)
        share = 0.0 if passed < 0 else min(_MOST, _HEAD_START + (1 - _HEAD_START) * passed)
        ready = start + int(cut.audio_bytes * (1.0 if task.done else share))
        while sent < ready:
            piece = cut.read(sent, min(sent + CHUNK, ready))
            sent += len(piece)
            yield piece
        if task.status in FAILED:
            return
        if sent < cut.size:
            await clock.sleep(_BEAT * clock.speed)
