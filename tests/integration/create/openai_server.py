"""OpenAI's chat endpoint on a real socket: answers from a script, hangs or breaks, and keeps what it was asked."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

HANG = "hang"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer; `body` is sent as it is."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def completion(
    content: str | None, *, finish_reason: str = "stop", refusal: str | None = None, choices: int = 1
) -> Reply:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    one = {"index": 0, "finish_reason": finish_reason, "logprobs": None, "message": message}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "gpt-4o-mini",
        "choices": [one] * choices,
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    return Reply(200, json.dumps(body).encode())


def error(status: int, code: str | None = None, **headers: str) -> Reply:
    body = {"error": {"message": "no", "type": "error", "param": None, "code": code}}
    return Reply(status, json.dumps(body).encode(), headers)


def words(segments: int, /, **changes: Any) -> dict[str, Any]:
    """A good answer in French; `changes` replace members of it."""
    each = {
        "title": "La rive claire",
        "colour": "wide and gentle, like light on still water",
        "lines": ["Laissez le son venir à vous.", "Vous pouvez poser les mains.", "Rien ne presse."],
    }
    answer = {
        "brief": "Ce moment est à vous. La musique avance doucement. Écoutez comme il vous plaît.",
        "title": "Une rive tranquille",
        "segments": [dict(each) for _ in range(segments)],
    }
    return answer | changes


def good(segments: int, /, **changes: Any) -> Reply:
    return completion(json.dumps(words(segments, **changes)))


class OpenAIServer:
    """Plays `script` in order, the last entry for all further requests."""

    def __init__(self, script: Sequence[Reply | str]) -> None:
        self.script = list(script)
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self._ending = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(int(line[15:]) for line in head.lower().splitlines() if line.startswith("content-length"))
                self.paths.append(head.split(" ", 2)[1])
                self.asked.append(json.loads(await reader.readexactly(length)))
                reply = self.script[min(len(self.asked), len(self.script)) - 1]
                if not isinstance(reply, Reply):
                    await self._ending.wait()
                    break
                lines = [f"HTTP/1.1 {reply.status} X", "content-type: application/json"]
                lines += [f"content-length: {len(reply.body)}", *(f"{n}: {v}" for n, v in reply.headers.items())]
                writer.write("\r\n".join([*lines, "", ""]).encode() + reply.body)
                await writer.drain()
        writer.close()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._ending.set()
        self._server.close()


@contextlib.asynccontextmanager
async def openai_server(*script: Reply | str) -> AsyncIterator[OpenAIServer]:
    server = OpenAIServer(script)
    await server.open()
    try:
        yield server
    finally:
        await server.close()
