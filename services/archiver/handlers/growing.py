"""Owns files that are still being copied and already read: one writer, any number of readers, in one process."""

import asyncio
import hashlib
import os
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

CHUNK: Final = 64 * 1024  # bytes


class BrokenCopyError(ConnectionError):
    """The stream that was being copied broke off: what was read is not the whole."""


class GrowingCopy:
    """A file on the disk that grows; readers follow it to its end, also after it was unlinked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.ended = False
        self.broken = False
        self._digest = hashlib.sha256()
        self._file: BinaryIO = path.open("wb", buffering=0)
        self._grown = asyncio.Event()

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()

    def add(self, chunk: bytes) -> None:
        """Append; the page cache takes 64 KiB in microseconds."""
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)
        self._tell()

    def end(self, *, broken: bool) -> None:
        """Say that nothing more comes."""
        self.ended, self.broken = True, broken
        self._file.close()
        self._tell()

    async def begun(self) -> bool:
        """Wait for the first bytes; false when it ended without any."""
        while self.size == 0 and not self.ended:
            await self._grown.wait()
        return self.size > 0

    def read(self) -> AsyncIterator[bytes]:
        """Yield all bytes from the first on, as they come; raises `BrokenCopyError` where the stream broke.

        The file is opened at once: its folder may be gone before the first byte is asked for.
        """
        descriptor = os.open(self.path, os.O_RDONLY)
        pieces = self._follow(descriptor)
        weakref.finalize(pieces, os.close, descriptor)  # also of a reader that left before the first byte
        return pieces

    async def _follow(self, descriptor: int) -> AsyncIterator[bytes]:
        while True:
            grown = self._grown
            if chunk := os.read(descriptor, CHUNK):
                yield chunk
            elif self.broken:
                raise BrokenCopyError(f"expected the end of the stream, found a break after {self.size} bytes")
            elif self.ended:
                return
            else:
                await grown.wait()

    def _tell(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()


class GrowingCopies:
    """The copies this process is making, by the place where each is to be kept."""

    def __init__(self) -> None:
        self._held: dict[str, GrowingCopy] = {}

    def begin(self, key: str, path: Path) -> GrowingCopy:
        """Hold a new copy; one that was there goes on without new readers."""
        copy = self._held[key] = GrowingCopy(path)
        return copy

    def find(self, key: str) -> GrowingCopy | None:
        return self._held.get(key)

    def forget(self, key: str, copy: GrowingCopy) -> None:
        """Hold it no more; who reads it reads on."""
        if self._held.get(key) is copy:
            del self._held[key]
