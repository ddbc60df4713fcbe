"""Owns fetching provider files (F1): a name is resolved once, checked, and connected to at exactly that address."""

import asyncio
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import httpx

from libs.common.trust import authorities
from services.archiver.domain.addresses import AllowList, Target, choose_address
from services.archiver.domain.failures import Code, GiveUp, MayPass

CHUNK: Final = 64 * 1024  # bytes; performance-and-reliability.md §6
MAX_BYTES: Final = 50 * 1024 * 1024  # F1
FILE_SECONDS: Final = 60.0  # F1: a finished file, in all
STREAM_SECONDS: Final = 600.0  # F1: a preview that still grows
IDLE_SECONDS: Final = 10.0  # without a byte
SLOW_BYTES_PER_SECOND: Final = 8 * 1024  # half of what a 128 kbit/s stream in real time brings
SLOW_AFTER_SECONDS: Final = 15.0
_PASSING_STATUS: Final = frozenset({408, 425, 429})

Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was fetched whole."""

    size: int
    sha256: bytes


async def resolve(host: str, port: int) -> list[str]:
    """All numeric addresses of a name, in the system's order; raises `MayPass` when it has none now."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise MayPass("name not resolved") from error
    return [str(address[0]) for *_, address in found]


class Files:
    """Fetches what the allow-list admits; every request has a client of its own, so nothing is carried over."""

    def __init__(
        self, allowed: AllowList, *, resolve: Resolve = resolve, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._transport = transport

    async def fetch(self, url: str, into: Path) -> Fetched:
        """Copy a finished file to `into`; raises `GiveUp` or `MayPass`."""
        digest, size = hashlib.sha256(), 0
        with _opened(into) as file:
            async with self.stream(url, seconds=FILE_SECONDS) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    size += file.write(chunk)
        return Fetched(size, digest.digest())

    @asynccontextmanager
    async def stream(self, url: str, *, seconds: float = STREAM_SECONDS) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an address and yield its bytes in pieces of at most 64 KiB.

        All of F1 holds: raises `GiveUp` (refused, gone, too large) or `MayPass` (network, 5xx, too slow, `seconds`).
        """
        target = self._allowed.admit(url)
        try:
            async with asyncio.timeout(seconds):
                address = choose_address(target, await self._resolve(target.host, target.port))
                async with self._client() as client, self._request(client, target, address) as response:
                    _judge(response)
                    yield _bounded(response)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise GiveUp(Code.URL_REFUSED, "malformed") from error
        except (httpx.TransportError, TimeoutError, OSError) as error:
            raise MayPass(type(error).__name__) from error

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=authorities(),
            trust_env=False,  # no proxies, no .netrc
            follow_redirects=False,
            timeout=httpx.Timeout(IDLE_SECONDS),
            transport=self._transport,
        )

    def _request(
        self, client: httpx.AsyncClient, target: Target, address: str
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """The numeric address is what is connected to; the name is what TLS verifies and the server is told."""
        return client.stream(
            "GET",
            target.pinned(address),
            headers={"host": target.host_header, "accept": "*/*", "accept-encoding": "identity"},
            extensions={"sni_hostname": target.host},
        )


def _judge(response: httpx.Response) -> None:
    status = response.status_code
    if 300 <= status < 400:  # noqa: PLR2004 - a redirect would leave the address that was checked
        raise GiveUp(Code.URL_REFUSED, "redirect")
    if status >= 500 or status in _PASSING_STATUS:  # noqa: PLR2004
        raise MayPass(f"status {status}")
    if status >= 400:  # noqa: PLR2004
        raise GiveUp(Code.FILE_GONE, f"status {status}")
    if status != 200:  # noqa: PLR2004 - we asked for the whole
        raise GiveUp(Code.NOT_AUDIO, f"status {status}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise GiveUp(Code.NOT_AUDIO, "encoded")
    length = response.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BYTES:
        raise GiveUp(Code.TOO_LARGE, "announced")


async def _bounded(response: httpx.Response) -> AsyncIterator[bytes]:
    began, size = time.monotonic(), 0
    async for piece in response.aiter_raw():
        for start in range(0, len(piece), CHUNK):
            chunk = piece[start : start + CHUNK]
            size += len(chunk)
            if size > MAX_BYTES:
                raise GiveUp(Code.TOO_LARGE, "received")
            yield chunk
        elapsed = time.monotonic() - began
        if elapsed > SLOW_AFTER_SECONDS and size < SLOW_BYTES_PER_SECOND * elapsed:
            raise MayPass("too slow")


def _opened(path: Path) -> BinaryIO:
    return path.open("wb")
