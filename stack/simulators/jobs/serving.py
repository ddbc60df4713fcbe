"""Owns the HTTP side that is alike: control, files, submissions with their faults; and serving inside a process."""

import asyncio
import contextlib
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from io import BytesIO
from typing import Any, Final, TypeVar

import httpx
import orjson
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from libs.common.trust import authorities
from stack.simulators.jobs.faults import Fault, FaultError
from stack.simulators.jobs.job import Job
from stack.simulators.jobs.works import Works
from stack.simulators.suno.app import make_server
from stack.simulators.suno.replies import Dropped, Unanswered, dripping

WAV_RATE: Final = 48_000
_HTML: Final = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>nginx</body></html>"

Accept = Callable[[], Job]
W = TypeVar("W", bound=Works)


def make_app(works: Works) -> FastAPI:
    """The application with its control; the provider's own routes are added by its module, before the file's."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with works.http:
            yield
            works.stop()
        works.ledger.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.works = works

    @app.get("/_sim/ledger")
    async def ledger() -> JSONResponse:
        return JSONResponse(works.report())

    @app.get("/_sim/faults")
    async def faults() -> JSONResponse:
        return JSONResponse({"faults": works.faults.shown()})

    @app.post("/_sim/faults")
    async def switch(request: Request) -> JSONResponse:
        body = await decoded(request)
        try:
            works.faults.replace(body.get("faults") if isinstance(body, dict) else None)
        except FaultError as error:
            return JSONResponse({"detail": str(error)}, 422)
        return JSONResponse({"faults": works.faults.shown()})

    @app.delete("/_sim/faults")
    async def clear() -> JSONResponse:
        works.faults.replace([])
        return JSONResponse({"faults": []})

    @app.post("/_sim/reset")
    async def reset() -> JSONResponse:
        works.reset()
        return JSONResponse({"ok": True})

    app.add_route("/files/{job}/{name}", _files(works), ["GET"])
    return app


async def decoded(request: Request) -> Any:  # noqa: ANN401 - JSON
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return None


async def submit(works: Works, probe: Job, accept: Accept, reply: Callable[[Job], Response]) -> Response:
    """A submission with its faults. `probe` is what the faults are aimed by; `accept` stamps and charges."""
    await works.clock.sleep(works.chance.uniform(*works.settings.reply_delay))
    names = ("http_error", "hang", "reply_lost", "slow_reply", "callback_before_reply")
    fault = works.faults.first(probe, *names, *(name for name in works.kinds if name.startswith("submit_")))
    if fault is not None and fault.name == "hang":
        works.ledger.leave_unanswered(probe.account, "hang")
        return Unanswered()
    if fault is not None and fault.name == "http_error" and not fault["accepted"]:
        works.ledger.refuse(probe.account, fault["status"], fault["status"])
        return _error(fault)
    job = accept()
    job.struck += probe.struck
    if fault is not None and fault.name == "callback_before_reply":
        await works.finish_now(job)
        return reply(job)
    works.begin(job)
    return await _answered(works, job, fault, reply)


async def _answered(works: Works, job: Job, fault: Fault | None, reply: Callable[[Job], Response]) -> Response:
    if fault is not None and fault.name == "reply_lost":
        works.ledger.leave_unanswered(job.account, "reply_lost")
        return Dropped()
    if fault is not None and fault.name == "http_error":
        return _error(fault)
    await works.clock.sleep(fault["seconds"] if fault is not None and fault.name == "slow_reply" else 0.0)
    return reply(job)


def _error(fault: Fault) -> Response:
    status, headers = fault["status"], fault["headers"]
    if fault["html"]:
        return Response(_HTML.format(status), status, headers, "text/html")
    detail = f"refused with {status}" if fault["detail"] is None else fault["detail"]
    return JSONResponse({"detail": detail} | (fault["body"] or {}), status, headers)


def _files(works: Works) -> Callable[[Request], Awaitable[Response]]:
    async def file(request: Request) -> Response:
        job = works.jobs.get(request.path_params["job"])
        if job is None or job.state != "done":
            return Response(status_code=404)
        answer = _file(works, job, wav=request.path_params["name"].endswith(".wav"))
        at = works.ledger.note("download", account=job.account, taskId=job.id, take=0, status=answer.status_code)
        job.downloads.append({"take": 0, "status": answer.status_code, "at": at})
        return answer

    return file


def _file(works: Works, job: Job, *, wav: bool) -> Response:
    fault = works.faults.first(job, "file_gone", "file_error", "file_truncated", "slow_file")
    if fault is not None and fault.name in ("file_gone", "file_error"):
        return Response(status_code=404 if fault.name == "file_gone" else fault["status"])
    if wav:
        return Response(tone(job.seconds), media_type="audio/wav")
    cut = works.sound.cut(job.seconds)
    length = {"content-length": str(cut.size)}
    if fault is not None and fault.name == "slow_file":
        return StreamingResponse(dripping(cut, cut.size, fault["seconds"], works.clock), 200, length, "audio/mpeg")
    if fault is not None:
        return Response(cut.read(0, int(cut.size * fault["fraction"])), media_type="audio/mpeg")
    return StreamingResponse(cut.chunks(), 200, length, "audio/mpeg")


def tone(seconds: float) -> bytes:
    """A WAV of that length, 48 kHz stereo: a soft square wave, since nothing needs it to be music."""
    period = b"\x00\x04" * 2 * 120 + b"\x00\xfc" * 2 * 120  # 200 Hz
    frames = round(seconds * WAV_RATE)
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(WAV_RATE)
        file.writeframes((period * (frames // 240 + 1))[: frames * 4])
    return buffer.getvalue()


class EmbeddedServer(uvicorn.Server):
    """Leaves the process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.asynccontextmanager
async def serving(works: W, app: FastAPI, port: int = 0) -> AsyncIterator[W]:
    """Serve on 127.0.0.1 while the context is open; port 0: a free one. `works.origin` is where."""
    server = make_server(app, port, EmbeddedServer)
    running = asyncio.create_task(server.serve())
    try:
        while not server.started and not running.done():
            await asyncio.sleep(0.005)
        if not server.started:
            raise OSError(f"cannot listen on 127.0.0.1:{port}")
        listening = server.servers[0].sockets[0].getsockname()[1]
        works.origin = works.settings.origin or f"http://127.0.0.1:{listening}"
        yield works
    finally:
        server.should_exit = True
        await running


def http_client() -> httpx.AsyncClient:
    """For callbacks; each call is bounded as a whole."""
    return httpx.AsyncClient(timeout=None, trust_env=False, verify=authorities())  # noqa: S113 - the caller bounds it
