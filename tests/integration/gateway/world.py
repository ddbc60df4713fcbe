"""Owns what the gateway's tests stand on: real gateways on real sockets, tiny real services behind them, rows."""

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Generator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp

from libs.common.database import Channel, Database
from libs.common.events import Event
from libs.common.identity import issue
from libs.common.lifecycle import lock_run
from libs.common.outbox import announce
from libs.common.trust import authorities
from services.gateway.app import make_app
from services.gateway.settings import Settings

SECRET = "a-secret-of-the-tests-with-enough-bytes-in-it"
SIGNING = f"k1:{'5a' * 32}"
INTERNAL = "shared-secret-of-the-tests"
ANON_KEY = "anon-key-of-the-tests"
SERVICE_KEY = "service-role-key-of-the-tests"
ORIGIN = "https://app.example"


def token(user: uuid.UUID, *roles: str, seconds: int = 600) -> str:
    return issue(SECRET, user, roles, seconds)


def bearer(user: uuid.UUID, *roles: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token(user, *roles)}"}


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application on a free port of this machine for as long as the block lasts."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if task.done():
                raise RuntimeError("the server did not start")
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        if isinstance(app, FastAPI):
            app.state.readiness.draining.set()  # as `service.run` does on SIGTERM
        server.should_exit = True
        await task


@dataclass
class Heard:
    """A request as a service behind the edge received it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """A service behind the edge: answers what it was told to, and remembers what it heard."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[int, object, dict[str, str]]] = field(default_factory=dict)
    growing: list[bytes] = field(default_factory=list)  # what there is of a preview
    finished: asyncio.Event = field(default_factory=asyncio.Event)  # set: the preview has an end

    def forget(self) -> None:
        self.heard.clear()
        self.answers.clear()
        self.growing.clear()
        self.finished = asyncio.Event()

    def will(self, method: str, path: str, status: int, body: object, **headers: str) -> None:
        self.answers[method, path] = (status, body, {name.replace("_", "-"): text for name, text in headers.items()})

    async def answer(self, request: Request) -> Response:
        if request.url.path.startswith("/internal/previews/"):
            known = self.growing and request.headers.get("x-internal-secret") == INTERNAL
            known = known and request.query_params.get("attempt") == "1"
            return StreamingResponse(self._grow(), media_type="audio/mpeg") if known else Response(status_code=404)
        body = await request.body()
        heard = Heard(request.method, request.url.path, request.url.query, dict(request.headers), body)
        self.heard.append(heard)
        status, document, headers = self.answers.get((heard.method, heard.path), (404, {"code": "not_found"}, {}))
        return Response(orjson.dumps(document), status, {"content-type": "application/json"} | headers)

    async def _grow(self) -> AsyncIterator[bytes]:
        sent = 0
        while sent < len(self.growing) or not self.finished.is_set():
            for piece in self.growing[sent:]:
                yield piece
                sent += 1
            await asyncio.sleep(0.05)


@asynccontextmanager
async def peer() -> AsyncIterator[Peer]:
    behind = Peer()
    app = Starlette()
    app.add_route("/{path:path}", behind.answer, methods=["GET", "POST"])
    async with serving(app) as url:
        behind.url = url
        yield behind


def settings(dsn: str, behind: Peer | None, objects: Path, **more: Any) -> Settings:
    url = behind.url if behind else "http://127.0.0.1:9"  # nobody listens on the discard port
    names = ("create_url", "runner_url", "signer_url", "callback_url", "archiver_url", "generator_url")
    given: dict[str, Any] = dict.fromkeys(names, url) | {
        "database_url": dsn,
        "object_folder": objects,
        "supabase_jwt_secret": SECRET,
        "supabase_anon_key": ANON_KEY,
        "supabase_service_role_key": SERVICE_KEY,
        "media_signing_keys": SIGNING,
        "internal_secret": INTERNAL,
        "cors_origins": ORIGIN,
        "public_url": "https://parcours.example",
        "user_requests_per_minute": 10_000,
        "address_requests_per_minute": 10_000,
        "drain_seconds": 2,
    }
    return Settings(**(given | more))


@asynccontextmanager
async def gateway(configured: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app: FastAPI = make_app(configured)
    async with (
        serving(app) as url,
        httpx.AsyncClient(base_url=url, timeout=10, trust_env=False, verify=authorities()) as client,
    ):
        yield client


@dataclass
class Run:
    id: uuid.UUID
    user: uuid.UUID
    segments: list[uuid.UUID]


async def make_run(
    database: Database, user: uuid.UUID, *, segments: int = 2, status: str = "creating", **columns: object
) -> Run:
    """Write a run as `create` does."""
    plan = {"total_seconds": 600 * segments, "seed": 7, "segments_count": segments}
    values: dict[str, object] = {
        "preset_key": "panique-anxiete",
        "emotion_state": "fear-0.8",
        "suds_start": 8,
        "brief": "A brief for you.",
        "plan": plan,
        "status": status,
    } | columns
    names = ", ".join(values)
    marks = ", ".join(f"${n}" for n in range(2, len(values) + 2))
    async with database.transaction() as connection:
        run_id = await connection.fetchval(
            f"INSERT INTO parcours_runs (user_id, {names}) VALUES ($1, {marks}) RETURNING id",  # noqa: S608 - own names
            user,
            *values.values(),
        )
        ids = [
            await connection.fetchval(
                "INSERT INTO parcours_segments (run_id, segment_index, title, plan) VALUES ($1, $2, $3, $4)"
                " RETURNING id",
                run_id,
                index,
                f"Title {index}",
                {"seconds": 600, "file_seconds": 605},
            )
            for index in range(segments)
        ]
    return Run(run_id, user, ids)


async def tell(database: Database, run: Run, *events: Event) -> list[int]:
    """Announce events as every service does; return their outbox ids."""
    async with database.transaction(Channel.OUTBOX) as connection:
        await lock_run(connection, run.id)
        before = await connection.fetchval("SELECT coalesce(max(id), 0) FROM outbox WHERE key = $1", run.id)
        await announce(connection, *events)
        rows = await connection.fetch("SELECT id FROM outbox WHERE key = $1 AND id > $2 ORDER BY id", run.id, before)
    return [row["id"] for row in rows]


@dataclass
class Frame:
    """One server-sent event; a heartbeat has neither id nor event."""

    event: str = ""
    id: int | None = None
    data: Any = None
    retry: int | None = None


async def frames(lines: AsyncIterator[str]) -> AsyncIterator[Frame]:
    frame = Frame()
    async for line in lines:
        if not line:
            yield frame
            frame = Frame()
            continue
        name, _, value = line.partition(": ")
        if name == "event":
            frame.event = value
        elif name == "id":
            frame.id = int(value)
        elif name == "data":
            frame.data = orjson.loads(value)
        elif name == "retry":
            frame.retry = int(value)


@asynccontextmanager
async def listening(
    client: httpx.AsyncClient, run: Run, *, last: int | str | None = None
) -> AsyncIterator[AsyncIterator[Frame]]:
    """Read a run's stream as its owner."""
    headers = bearer(run.user) | ({} if last is None else {"last-event-id": str(last)})
    async with client.stream("GET", f"/v1/runs/{run.id}/events", headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        reading = frames(response.aiter_lines())
        yield reading
        await reading.aclose()  # type: ignore[attr-defined]  # it is a generator


async def next_event(reading: AsyncIterator[Frame], seconds: float = 5) -> Frame:
    """Return the next frame that is no heartbeat."""
    async with asyncio.timeout(seconds):
        async for frame in reading:
            if frame.event or frame.retry is not None:
                return frame
    raise AssertionError("the stream ended")


def sha256(pieces: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(pieces)).hexdigest()
