"""Owns the files a job offers while they grow: how much can be read, and whether more will come."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from services.composer.wire import Measures

CHUNK_BYTES = 64 * 1024


class RenderFailedError(RuntimeError):
    """The file will never be whole; its text names the engine's error."""


class GrowingFile:
    """One product of the engine, from its first byte to its last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.sha256 = ""
        self.measures: Measures | None = None
        self.error: str | None = None
        self._changed = asyncio.Event()

    @property
    def is_whole(self) -> bool:
        return self.measures is not None

    def grow(self, size: int) -> None:
        self.size = max(self.size, size)  # a render that is repeated writes the same bytes again
        self._announce()

    def finish(self, size: int, sha256: str, measures: Measures) -> None:
        self.size, self.sha256, self.measures = size, sha256, measures
        self._announce()

    def fail(self, error: str) -> None:
        self.error = error
        self._announce()

    async def wait_for_bytes(self, more_than: int = 0) -> None:
        """Until more can be read or nothing more will come; raises RenderFailedError."""
        while self.size <= more_than and not self.is_whole:
            await self._wait()

    async def wait_until_whole(self) -> Measures:
        """Raises RenderFailedError."""
        while self.measures is None:
            await self._wait()
        return self.measures

    async def stream(self) -> AsyncIterator[bytes]:
        """All bytes, as they come; ends early when the render breaks."""
        sent = 0
        while True:
            await self.wait_for_bytes(sent)
            if self.size <= sent:
                return
            chunk = await asyncio.to_thread(self._read, sent, min(CHUNK_BYTES, self.size - sent))
            if not chunk:  # a repeated render has just begun to write the file again
                await asyncio.sleep(0.05)
            sent += len(chunk)
            yield chunk

    def _read(self, position: int, count: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(position)
            return file.read(count)

    async def _wait(self) -> None:
        if self.error is not None:
            raise RenderFailedError(self.error)
        await self._changed.wait()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
