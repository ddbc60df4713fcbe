"""Owns a wire between a gateway and its PostgreSQL that a test may cut and mend."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit


@dataclass
class Wire:
    """A TCP relay; `dsn` leads through it."""

    host: str
    port: int
    dsn: str = ""
    _server: asyncio.Server | None = None
    _own_port: int = 0
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)

    async def mend(self) -> None:
        """Accept connections, at the same address as before."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._own_port)
        self._own_port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Refuse new connections and break those that there are."""
        if self._server is not None:
            self._server.close()
        for end in self._ends:
            end.transport.abort()
        self._server = None

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self.host, self.port)
        both = {writer, back}
        self._ends |= both
        with suppress(ConnectionError):
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        self._ends -= both


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def wired(dsn: str) -> AsyncIterator[Wire]:
    parts = urlsplit(dsn)
    wire = Wire(parts.hostname or "127.0.0.1", parts.port or 5432)
    await wire.mend()
    user = parts.netloc.rpartition("@")[0]
    wire.dsn = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{wire._own_port}"))
    try:
        yield wire
    finally:
        await wire.cut()
