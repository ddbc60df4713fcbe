"""Owns the web of the archiver's tests: a real HTTP server that answers as providers do on good and on bad days."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Web:
    """Answers by path; `asked` lists the paths that were asked for."""

    origin: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    serving: set["asyncio.Task[None]"] = field(default_factory=set)

    def give(self, path: str, body: bytes, *, status: int = 200, **headers: str) -> str:
        """Answer with these bytes; returns the address."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            _head(writer, status, {"content-length": str(len(body))} | headers)
            writer.write(body)

        return self.answer(path, answer)

    def prefix(self, path: str, body: bytes, *, status: int = 200) -> None:
        """Answer whatever is asked below a path with these bytes."""
        self.give(path, body, status=status)
        self.prefixes.append(path)

    def give_json(self, path: str, body: object) -> str:
        return self.give(path, json.dumps(body).encode())

    def break_off(self, path: str, body: bytes) -> str:
        """Announce the whole, send half, close."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            _head(writer, 200, {"content-length": str(len(body))})
            writer.write(body[: len(body) // 2])

        return self.answer(path, answer)

    def grow(self, path: str, pieces: list[bytes], go_on: asyncio.Semaphore, *, broken: bool = False) -> str:
        """Send one piece each time `go_on` is released, in chunks of HTTP; broken: without the last chunk."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            _head(writer, 200, {"transfer-encoding": "chunked"})
            for piece in pieces:
                await go_on.acquire()
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                await writer.drain()
            if not broken:
                writer.write(b"0\r\n\r\n")

        return self.answer(path, answer)

    def answer(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return self.origin + path

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ", 2)[1].decode()
            self.asked.append(path)
            below = next((prefix for prefix in self.prefixes if path.startswith(prefix)), path)
            await self.answers.get(below, _nothing)(writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # whoever asked has gone
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def serving() -> AsyncIterator[Web]:
    web = Web()
    server = await asyncio.start_server(web.accept, "127.0.0.1", 0)
    web.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield web
    finally:
        server.close()
        for task in web.serving:
            task.cancel()
        await asyncio.gather(*web.serving, return_exceptions=True)


def _head(writer: asyncio.StreamWriter, status: int, headers: dict[str, str]) -> None:
    lines = [f"HTTP/1.1 {status} Word", "connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())


async def _nothing(writer: asyncio.StreamWriter) -> None:
    _head(writer, 404, {"content-length": "0"})
