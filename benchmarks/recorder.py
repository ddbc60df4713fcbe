"""Owns the recording provider: it stamps each submission as it arrives, answers, and calls back `first`.

A process of its own, so that neither the load generator nor what is measured delays its stamps. Times are of the wall
clock, which all processes of one machine and its PostgreSQL share.
"""

import argparse
import asyncio
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson
import uvloop

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 0.25  # after a callback that nobody took; real providers wait longer, and give up
GIVE_UP_SECONDS: Final = 60.0


@dataclass
class Recorder:
    """What arrived and when; the key is the `segment` of the address to be called back."""

    first_after: float  # s between a submission and its `first` callback
    crowd_after: float = 3.0  # the same while a crowd is expected: all listen by then
    crowd: bool = False
    reply_delay: tuple[float, float] = (0.0, 0.0)  # s, uniform; the stamp is of the arrival
    chance: random.Random = field(default_factory=random.Random)
    port: int = 0
    posted: dict[str, list[float]] = field(default_factory=dict)
    called: dict[str, float] = field(default_factory=dict)  # when `first` was sent for the first time
    taken: dict[str, float] = field(default_factory=dict)  # when it was answered with 200
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def submission(self, raw: bytes, at: float) -> bytes:
        """Take one call of the reseller's API; its answer's body."""
        address = orjson.loads(raw)["callBackUrl"]
        key = parse_qs(urlsplit(address).query)["segment"][0]
        again = key in self.posted
        self.posted.setdefault(key, []).append(at)
        task_id = secrets.token_hex(16)
        if self.first_after >= 0 and not again:
            calling = asyncio.create_task(self._call_back(key, address, task_id))
            self.tasks.add(calling)
            calling.add_done_callback(self.tasks.discard)
        return orjson.dumps({"code": 200, "msg": "success", "data": {"taskId": task_id}})

    def told(self) -> bytes:
        return orjson.dumps({"posted": self.posted, "called": self.called, "taken": self.taken})

    async def _call_back(self, key: str, address: str, task_id: str) -> None:
        await asyncio.sleep(self.crowd_after if self.crowd else self.first_after)
        body = orjson.dumps(_first(task_id, f"http://127.0.0.1:{self.port}"))
        began = time.time()
        while time.time() - began < GIVE_UP_SECONDS:
            try:
                taken = await self._send(key, address, body)
            except OSError:  # TimeoutError is one too
                taken = False
            if taken:
                self.taken[key] = time.time()
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _send(self, key: str, address: str, body: bytes) -> bool:
        parts = urlsplit(address)
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = (
            f"POST {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.called.setdefault(key, time.time())
        writer.write(head.encode() + body)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return b" 200 " in await reader.readline()
        finally:
            writer.close()


class Connection(asyncio.Protocol):
    """Just enough HTTP/1.1: a request is whole when its Content-Length has arrived, and then it is stamped."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._received = bytearray()
        self._transport: Any = None  # uvloop's transports are of no common class

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        at = time.time()
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end]).lower()
            length = _length(head)
            if len(self._received) < end + 4 + length:
                return
            body = bytes(self._received[end + 4 : end + 4 + length])
            del self._received[: end + 4 + length]
            self._answer(head, body, at)

    def _answer(self, head: bytes, body: bytes, at: float) -> None:
        content = b'{"code":404,"msg":"unknown","data":null}'
        if head.startswith(b"post ") and b"/_rec/" not in head[:60]:
            content = self._recorder.submission(body, at)
        elif head.startswith(b"get /_rec/stamps"):
            content = self._recorder.told()
        elif head.startswith(b"put /_rec/crowd"):
            self._recorder.crowd = body == b"1"
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content)
        delay = self._recorder.chance.uniform(*self._recorder.reply_delay) if head.startswith(b"post ") else 0.0
        if delay > 0:
            asyncio.get_running_loop().call_later(delay, self._transport.write, answer + content)
        else:
            self._transport.write(answer + content)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":", 1)[1])
    return 0


def _first(task_id: str, origin: str) -> dict[str, object]:
    """The callback of sunoapi.org when the first take can be streamed (providers.md §1A)."""
    items = [
        {
            "id": f"{task_id[:24]}{take:08x}",
            "audio_url": f"{origin}/files/{task_id}/{take}.mp3" if take == 0 else "",
            "stream_audio_url": f"{origin}/files/{task_id}/{take}.stream.mp3",
            "image_url": "",
            "prompt": "",
            "model_name": "chirp-recorded",
            "title": "recorded",
            "tags": "recorded",
            "createTime": int(time.time() * 1000),
            **({"duration": 150.0} if take == 0 else {}),
        }
        for take in (0, 1)
    ]
    data = {"callbackType": "first", "task_id": task_id, "data": items}
    return {"code": 200, "msg": "First audio generated successfully.", "data": data}


async def serve(recorder: Recorder) -> None:
    """Serve until the process is ended; prints one line when it answers."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(recorder), "127.0.0.1", recorder.port)
    print(f"ready http://127.0.0.1:{recorder.port}", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--first-after", type=float, default=0.25, help="seconds; negative: never")
    parser.add_argument("--first-after-crowd", type=float, default=3.0, help="seconds, after PUT /_rec/crowd of 1")
    parser.add_argument("--reply-delay", type=float, nargs=2, default=(0.0, 0.0), metavar=("FROM", "TO"))
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args()
    recorder = Recorder(said.first_after, said.first_after_crowd, port=said.port)
    recorder.reply_delay, recorder.chance = tuple(said.reply_delay), random.Random(said.seed)
    uvloop.run(serve(recorder))


if __name__ == "__main__":
    main()
