"""Owns what composer's service tests share: a listener of callbacks and a running composer with its client."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import imageio_ffmpeg
import psutil
from aiohttp import web

from libs.common.trust import authorities
from stack.embedded.ports import free_port

KEY = "composer-test-key"
START_SECONDS = 150  # workers are warmed first, and many may start at once
AUTHORISED = {"Authorization": f"Bearer {KEY}"}


class Listener:
    """A receiver of callbacks that remembers them, and can be deaf for a while."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.deaf_for = 0
        self.url = ""
        self._changed = asyncio.Event()

    async def receive(self, request: web.Request) -> web.Response:
        if self.deaf_for > 0:
            self.deaf_for -= 1
            return web.Response(status=503)
        self.calls.append((request.path_qs, await request.json()))
        self._changed.set()
        return web.Response()

    def stages(self, path: str) -> list[str]:
        return [body["data"]["callbackType"] for asked, body in self.calls if asked == path]

    async def wait_for(self, path: str, stage: str) -> dict[str, Any]:
        async with asyncio.timeout(120):  # behind the files of the tests before, beside other tests
            while stage not in self.stages(path):
                self._changed.clear()
                await self._changed.wait()
        return next(body for asked, body in self.calls if asked == path and body["data"]["callbackType"] == stage)


class Composer:
    """A running service."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.client = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, verify=authorities())

    async def generate(self, callback: str, **changes: Any) -> dict[str, Any]:
        body = {
            "customMode": True,
            "instrumental": True,
            "model": "V5_5",
            "callBackUrl": callback,
            "style": "70 BPM easing to 64 BPM, 6/8 time, D dorian, felt piano, sparse, warm",
            "title": "Une éclaircie 1/6",
            "duration": 20,
        }
        answer = await self.client.post("/api/v1/generate", json=body | changes, headers=AUTHORISED)
        assert answer.status_code == 200
        return dict(answer.json())

    async def task(self, callback: str, **changes: Any) -> str:
        answer = await self.generate(callback, **changes)
        assert answer["code"] == 200, answer
        return str(answer["data"]["taskId"])

    async def record(self, task_id: str) -> dict[str, Any]:
        address = "/api/v1/generate/record-info"
        answer = await self.client.get(address, params={"taskId": task_id}, headers=AUTHORISED)
        assert answer.json()["code"] == 200
        return dict(answer.json()["data"])

    async def is_ready(self) -> bool:
        try:
            return (await self.client.get("/readyz")).status_code == 200
        except httpx.TransportError:
            assert self.process.returncode is None
            return False

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()


async def started(temporary: Path, workers: int) -> Composer:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "PORT": str(port),
        "COMPOSER_URL": url,
        "COMPOSER_API_KEY": KEY,
        "COMPOSER_WORKERS": str(workers),
        "COMPOSER_MAX_JOBS": "6",
        "COMPOSER_CALLBACK_RETRY_SECONDS": "1,1,1",
        "TIME_SCALE": "0.05",
        "COMPOSER_KEEP_SECONDS": "72000",  # s, scaled by 0.05: an hour
        "TMPDIR": str(temporary),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.composer", env=environment)
    composer = Composer(process, url)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await composer.is_ready():
                await asyncio.sleep(0.05)
    except BaseException:
        if process.returncode is None:
            process.kill()  # nobody else would end it
        raise
    return composer


async def decoded_samples(mp3: bytes) -> int:
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    process = await asyncio.create_subprocess_exec(
        *(ffmpeg, "-v", "error", "-i", "-", "-f", "f32le", "-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(mp3)
    assert process.returncode == 0
    return len(output) // 8
