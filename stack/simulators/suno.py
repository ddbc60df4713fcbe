"""A stand-in for the Suno reseller: accepts, counts, calls back in stages, answers record-info, serves one file."""

import asyncio
import collections
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse

STAGES = (("text", 12.0), ("first", 35.0), ("complete", 150.0))  # seconds after acceptance, as the reseller states
WINDOW_SECONDS, WINDOW_CALLS = 10.0, 20
CREDITS_PER_CALL = 12
CALLBACK_SECONDS = 15.0
CALLBACK_RETRIES = (1.0, 3.0, 9.0)  # the spacing is documented nowhere
REQUIRED = ("customMode", "instrumental", "model", "callBackUrl")
STATUS_AFTER = {"text": "TEXT_SUCCESS", "first": "FIRST_SUCCESS", "complete": "SUCCESS"}


@dataclass
class Task:
    """One accepted call."""

    task_id: str
    request: dict[str, Any]
    accepted_at: float
    status: str = "PENDING"
    callbacks: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Simulator:
    """What the stand-in knows; everything is in memory and gone with the process."""

    audio: Path
    seconds: float
    callbacks: Literal["all", "none"]
    speed: float
    origin: str
    tasks: dict[str, Task] = field(default_factory=dict)
    refused: collections.Counter[int] = field(default_factory=collections.Counter)
    credits: int = 100_000
    stamps: collections.deque[float] = field(default_factory=collections.deque)
    running: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, body: dict[str, Any]) -> tuple[int, str, dict[str, Any] | None]:
        """Decide a generate call as the reseller does: a code in the body, whatever the HTTP status."""
        missing = [name for name in REQUIRED if body.get(name) in (None, "")]
        if missing:
            return self._refuse(
                400, "Please enter callBackUrl." if "callBackUrl" in missing else f"{missing[0]} cannot be null"
            )
        if body["customMode"] and not (body.get("style") or body.get("lyrics") or body.get("negativeTags")):
            return self._refuse(400, "style cannot be null")
        if self.credits < CREDITS_PER_CALL:
            return self._refuse(429, "The current credits are insufficient.")
        if not self._stamp():
            return self._refuse(430, "Your call frequency is too high. Please try again later.")
        task = Task(secrets.token_hex(16), body, time.time())
        self.tasks[task.task_id] = task
        self.credits -= CREDITS_PER_CALL
        playing = asyncio.create_task(self._play(task))
        self.running.add(playing)
        playing.add_done_callback(self.running.discard)
        return 200, "success", {"taskId": task.task_id}

    def record(self, task_id: str) -> dict[str, Any] | None:
        """The `data` of record-info; None for a task that was never accepted."""
        task = self.tasks.get(task_id)
        if task is None:
            return None
        items = [_camel(item) for item in self._items(task, task.status)]
        return {
            "taskId": task_id,
            "parentMusicId": "",
            "param": "{}",
            "response": {"taskId": task_id, "sunoData": items},
            "status": task.status,
            "type": "GENERATE",
            "operationType": "generate",
            "errorCode": None,
            "errorMessage": None,
        }

    def ledger(self) -> dict[str, Any]:
        """What was accepted, refused and called back, for tests and for people."""
        accepted = [
            {"taskId": task.task_id, "acceptedAt": task.accepted_at, "status": task.status, "callbacks": task.callbacks}
            for task in self.tasks.values()
        ]
        return {"accepted": accepted, "refused": dict(self.refused), "credits": self.credits}

    def _refuse(self, code: int, text: str) -> tuple[int, str, None]:
        self.refused[code] += 1
        return code, text, None

    def _stamp(self) -> bool:
        """20 calls in any 10 s; a refused call is not counted."""
        now = time.monotonic()
        while self.stamps and now - self.stamps[0] >= WINDOW_SECONDS:
            self.stamps.popleft()
        if len(self.stamps) >= WINDOW_CALLS:
            return False
        self.stamps.append(now)
        return True

    async def _play(self, task: Task) -> None:
        began = time.monotonic()
        for stage, at in STAGES:
            await asyncio.sleep(max(0.0, at / self.speed - (time.monotonic() - began)))
            task.status = STATUS_AFTER[stage]
            if self.callbacks == "all":
                await self._call_back(task, stage)

    async def _call_back(self, task: Task, stage: str) -> None:
        message = {"text": "Text generated successfully.", "first": "First audio generated successfully."}
        body = {
            "code": 200,
            "msg": message.get(stage, "All generated successfully."),
            "data": {"callbackType": stage, "task_id": task.task_id, "data": self._items(task, STATUS_AFTER[stage])},
        }
        async with httpx.AsyncClient(timeout=CALLBACK_SECONDS, trust_env=False) as client:
            for pause in (0.0, *CALLBACK_RETRIES):
                await asyncio.sleep(pause / self.speed)
                status = await _post(client, task.request["callBackUrl"], body)
                task.callbacks.append({"stage": stage, "status": status, "at": time.time()})
                if status == httpx.codes.OK:
                    return

    def _items(self, task: Task, status: str) -> list[dict[str, Any]]:
        if status in ("PENDING", "TEXT_SUCCESS"):
            return []
        return [self._item(task, take, ready=status == "SUCCESS" or take == 0) for take in (0, 1)]

    def _item(self, task: Task, take: int, *, ready: bool) -> dict[str, Any]:
        """One take in the callbacks' spelling; the second of `first` has an empty address and no duration."""
        address = f"{self.origin}/files/{task.task_id}/{take}"
        item = {
            "id": f"{task.task_id[:24]}{take:08x}",
            "audio_url": f"{address}.mp3" if ready else "",
            "stream_audio_url": f"{address}.stream.mp3",
            "image_url": "",
            "prompt": "",
            "model_name": "chirp-simulated",
            "title": task.request.get("title", ""),
            "tags": task.request.get("style", "")[:100],
            "createTime": int(task.accepted_at * 1000),
        }
        return item | ({"duration": self.seconds} if ready else {})


def make_app(simulator: Simulator) -> FastAPI:
    """The reseller's endpoints, and `/_sim/ledger`."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        for task in list(simulator.running):
            task.cancel()

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)

    @app.post("/api/v1/generate")
    async def generate(request: Request) -> JSONResponse:
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return _envelope(401, "You do not have access permissions", None)
        try:
            body = await request.json()
        except ValueError:
            body = None
        return _envelope(*simulator.accept(body if isinstance(body, dict) else {}))

    @app.get("/api/v1/generate/record-info")
    async def record_info(taskId: str) -> JSONResponse:  # noqa: N803 - the reseller's spelling
        found = simulator.record(taskId)
        return _envelope(200, "success", found) if found else _envelope(404, "task not found", None)

    @app.get("/api/v1/generate/credit")
    async def credit() -> JSONResponse:
        return _envelope(200, "success", simulator.credits)

    @app.get("/files/{task_id}/{name}")
    async def audio(task_id: str, name: str) -> FileResponse:
        del task_id, name
        return FileResponse(simulator.audio, media_type="audio/mpeg")

    @app.get("/_sim/ledger")
    async def ledger() -> JSONResponse:
        return JSONResponse(simulator.ledger())

    return app


def _envelope(code: int, text: str, content: object) -> JSONResponse:
    return JSONResponse({"code": code, "msg": text, "data": content})


async def _post(client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> int:
    try:
        return (await client.post(url, json=body)).status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return 0


def _camel(item: dict[str, Any]) -> dict[str, Any]:
    """record-info spells in camelCase what callbacks spell in snake_case."""
    words = {name: name.split("_") for name in item}
    return {first + "".join(word.title() for word in rest): item[name] for name, (first, *rest) in words.items()}
