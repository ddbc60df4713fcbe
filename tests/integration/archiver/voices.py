"""Owns the speech services of the tests: a real HTTP server that answers with recorded bodies, one a request."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[3] / "contracts" / "examples" / "speech"


@dataclass(frozen=True)
class Answer:
    """One answer; `broken` announces the whole and sends half."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: bool = False


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class SpeechServer:
    """Gives its answers in turn, the last one for ever."""

    origin: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def will(self, *answers: Answer) -> None:
        self.answers = list(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ", 2)
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.asked.append(Asked(method, path, headers, json.loads(body) if body else None))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            lines = [f"HTTP/1.1 {answer.status} Word", "connection: close", f"content-length: {len(answer.body)}"]
            lines += [f"{name}: {value}" for name, value in answer.headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            writer.write(answer.body[: len(answer.body) // 2] if answer.broken else answer.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # whoever asked has gone
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def speech_server() -> AsyncIterator[SpeechServer]:
    speech = SpeechServer()
    server = await asyncio.start_server(speech.serve, "127.0.0.1", 0)
    speech.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield speech
    finally:
        server.close()
        await server.wait_closed()


def recorded(name: str, **headers: str) -> Answer:
    """A refusal as it was written down; its file's name begins with its status."""
    path = RECORDED / f"{name}.json"
    status = int(path.stem.split("_")[0])
    return Answer(path.read_bytes(), status, {"content-type": "application/json"} | headers)
