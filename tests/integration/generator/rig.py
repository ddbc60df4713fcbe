"""What the generator's tests stand on: runs in a real database, a provider on a real socket, a generator in process."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import asyncpg
from aiohttp import web

from libs.common.database import Database, open_database
from libs.common.events import SegmentRequested
from libs.common.loops import open_loops
from libs.common.wakeups import open_wakeups
from services.generator import app as generator_app
from services.generator import sweeps
from services.generator.clients import CallbackClient, MusicClient, open_http
from services.generator.handlers.dispatch import LOOK_SECONDS
from services.generator.handlers.requested import segment_requested
from services.generator.handlers.resources import Resources
from services.generator.settings import Settings

SCALE = 0.05  # every duration of the generator, as the platform's tests have it
SECRET = "internal-secret"

PLAN = {
    "seconds": 240,
    "file_seconds": 245,
    "style_clauses": ["instrumental ambient, no vocals", "72 BPM steady", "D dorian"],
    "length_clause": "about 4 minutes",
    "negative_tags": ["drums", "vocals"],
    "style_weight": 0.6,
    "weirdness": 0.2,
    "loudness_lufs": -16.0,
    "last": False,
    "x_parcours": {"version": 1, "seed": 7},
}

Reply = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class Heard:
    """One submission as the provider received it."""

    body: dict[str, Any]
    at: float

    @property
    def segment_id(self) -> UUID:
        return UUID(self._query("segment"))

    @property
    def token(self) -> str:
        return self._query("token")

    def _query(self, name: str) -> str:
        return str(parse_qs(urlsplit(self.body["callBackUrl"]).query)[name][0])


@dataclass
class Provider:
    """The reseller's dialect on a socket: replies as scripted, else accepts; remembers all it heard."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    news: list[tuple[UUID, dict[str, Any]]] = field(default_factory=list)
    script: deque[Reply] = field(default_factory=deque)
    always: Reply | None = None
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    balance: float = 500
    credit_asked: int = 0
    looked_up: list[str] = field(default_factory=list)
    on_news: Callable[[UUID, dict[str, Any]], Awaitable[None]] | None = None

    async def generate(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.heard.append(Heard(body, time.monotonic()))
        reply = self.script.popleft() if self.script else self.always or accept
        return await reply(request, body)

    async def record_info(self, request: web.Request) -> web.Response:
        task = request.query["taskId"]
        self.looked_up.append(task)
        return web.json_response({"code": 200, "msg": "success", "data": self.records.get(task)})

    async def credit(self, _request: web.Request) -> web.Response:
        self.credit_asked += 1
        return web.json_response({"code": 200, "msg": "success", "data": self.balance})

    async def take_news(self, request: web.Request) -> web.Response:
        assert request.headers["x-internal-secret"] == SECRET
        attempt_id, body = UUID(request.match_info["id"]), await request.json()
        self.news.append((attempt_id, body))
        if self.on_news is not None:
            await self.on_news(attempt_id, body)
        return web.json_response({"ok": True})


async def accept(_request: web.Request, _body: dict[str, Any]) -> web.Response:
    return web.json_response({"code": 200, "msg": "success", "data": {"taskId": uuid4().hex}})


def refuse(code: int, status: int = 200, **headers: str) -> Reply:
    """An answer in the provider's own envelope."""

    async def reply(_request: web.Request, _body: dict[str, Any]) -> web.Response:
        body = {"code": code, "msg": "no", "data": None}
        return web.json_response(body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return reply


def bare(status: int) -> Reply:
    """An answer of somebody in between."""

    async def reply(_request: web.Request, _body: dict[str, Any]) -> web.Response:
        return web.Response(status=status, text="<html>gateway</html>")

    return reply


async def lose_reply(request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
    """Accepts, and the connection breaks before the reply."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def open_provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_post("/api/v1/generate", provider.generate)
    app.router.add_get("/api/v1/generate/record-info", provider.record_info)
    app.router.add_get("/api/v1/generate/credit", provider.credit)
    app.router.add_post("/internal/attempts/{id}/news", provider.take_news)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()


# --- the generator ------------------------------------------------------------------------------------------------


def settings(dsn: str, suno: Provider, composer: Provider | None = None, **changes: Any) -> Settings:
    """A generator with suno, and composer when it has a provider to stand for it."""
    facts = {
        "database_url": dsn,
        "suno_api_key": "key-1",
        "suno_base_url": suno.url,
        "composer_url": (composer or suno).url,
        "callback_url": suno.url,
        "callback_base": f"{suno.url}/callback",
        "providers": "suno,composer" if composer else "suno",
        "internal_secret": SECRET,
        "time_scale": SCALE,
    }
    return Settings(**(facts | changes))


@asynccontextmanager
async def open_resources(made: Settings) -> AsyncIterator[Resources]:
    """Everything but the loops, with accounts in the database: for tests that turn the rounds themselves."""
    dsn = made.database_url.get_secret_value()
    roster, clock = made.roster(), made.clock
    async with open_database(dsn, "generator", min_size=1, max_size=12) as database, open_http() as http:
        music = MusicClient(http, made.access(roster), clock)
        callback = CallbackClient(http, made.callback_url, SECRET, clock)
        resources = Resources(
            database=database, roster=roster, clock=clock, tracks=[made.track], music=music, callback=callback
        )
        await generator_app._upsert_accounts(resources)
        yield resources


@asynccontextmanager
async def open_generator(made: Settings) -> AsyncIterator[Resources]:
    """A whole generator but for Kafka."""
    async with open_resources(made) as resources:
        dsn = made.database_url.get_secret_value()
        async with (
            open_wakeups(dsn, "generator") as wakeups,
            generator_app._dispatchers(resources, wakeups, 2) as dispatchers,
            open_loops(1) as loops,
        ):
            for dispatcher, wake in dispatchers:
                loops.add(f"dispatch-{dispatcher.name}", dispatcher.turn, every=LOOK_SECONDS, wake=wake)
            sweeps.start(loops, resources)
            yield resources


# --- runs ---------------------------------------------------------------------------------------------------------

_RUN = "INSERT INTO parcours_runs (user_id, preset_key) VALUES ($1, 'panique-anxiete') RETURNING id"
_SEGMENT = """
INSERT INTO parcours_segments (run_id, segment_index, title, plan, requested_at, due_at, deadline_at)
VALUES ($1, $2, 'A place', $3, clock_timestamp(), clock_timestamp() + make_interval(secs => $4),
        clock_timestamp() + make_interval(secs => $5)) RETURNING id
"""


async def add_run(
    database: Database,
    *,
    segments: int = 1,
    user_id: UUID | None = None,
    due_in: Sequence[float] = (0.0,),
    deadline_in: float = 120.0,
    plan: dict[str, Any] | None = None,
) -> tuple[UUID, list[UUID]]:
    """A run whose segments are all requested; `due_in` in seconds, its last value serves the rest."""
    async with database.transaction() as connection:
        run_id = await connection.fetchval(_RUN, user_id or uuid4())
        ids = []
        for index in range(segments):
            due = due_in[min(index, len(due_in) - 1)]
            made = await connection.fetchval(_SEGMENT, run_id, index, plan or PLAN, due, deadline_in)
            ids.append(made)
    return run_id, ids


async def request(resources: Resources, run_id: UUID, segment_ids: Sequence[UUID]) -> None:
    """What the consumer of segment.requested does."""
    for index, segment_id in enumerate(segment_ids):
        async with resources.database.transaction() as connection:
            await segment_requested(connection, requested(run_id, segment_id, index), resources=resources)


def requested(run_id: UUID, segment_id: UUID, index: int = 0) -> SegmentRequested:
    moment = "2026-11-21T12:00:00Z"
    facts = {"run_id": run_id, "segment_id": segment_id, "segment_index": index}
    return SegmentRequested.model_validate(facts | {"due_at": moment, "deadline_at": moment})


async def fetch(database: Database, query: str, *values: Any) -> list[asyncpg.Record]:
    async with database.connection() as connection:
        return list(await connection.fetch(query, *values))


async def value(database: Database, query: str, *values: Any) -> Any:
    rows = await fetch(database, query, *values)
    return rows[0][0] if rows else None


async def attempts(database: Database) -> list[asyncpg.Record]:
    return await fetch(database, "SELECT * FROM segment_attempts ORDER BY dispatched_at")


async def events(database: Database, topic: str) -> list[dict[str, Any]]:
    rows = await fetch(database, "SELECT payload FROM outbox WHERE topic = $1 ORDER BY id", topic)
    return [json.loads(row["payload"]) if isinstance(row["payload"], str) else row["payload"] for row in rows]


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Return as soon as the condition holds; raises TimeoutError when it never does."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)
