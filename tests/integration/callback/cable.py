"""A TCP way to a server that a test can cut and mend."""

import asyncio
import contextlib
from typing import Self
from urllib.parse import urlsplit


class Cable:
    """A TCP way to the database that can be cut."""

    def __init__(self, dsn: str) -> None:
        self._target = urlsplit(dsn)
        self._cut = False
        self._streams: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.dsn = self._target._replace(netloc=f"{self._target.netloc.rsplit(':', 1)[0]}:{port}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut = True
        self._server.close()

    @property
    def cut(self) -> bool:
        return self._cut

    @cut.setter
    def cut(self, cut: bool) -> None:
        self._cut = cut
        while cut and self._streams:
            self._streams.pop().transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._streams += [writer, far_writer]
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
