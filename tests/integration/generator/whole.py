"""A provider's simulator, a real callback, generator and archiver in one process: everything but Kafka and the edge."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import httpx

from libs.common.database import Database, open_database
from libs.common.events import SegmentDelivered, SegmentFailed
from libs.common.objects import ObjectStore, open_objects
from libs.common.settings import ObjectSettings
from libs.common.trust import authorities
from services.archiver import storage
from services.archiver.clients.files import Files
from services.archiver.clients.generator import Generator
from services.archiver.consumers import on_delivered
from services.archiver.domain.addresses import AllowList
from services.archiver.handlers.tools import Tools
from services.callback.app import make_app
from services.callback.settings import Settings as CallbackSettings
from services.generator.handlers.failed import attempt_failed
from services.generator.handlers.resources import Resources
from services.generator.settings import Settings
from stack.simulators.jobs.serving import EmbeddedServer
from stack.simulators.suno.app import make_server
from tests.integration.archiver.world import carry
from tests.integration.generator.rig import PLAN, SCALE, SECRET, add_run, fetch, open_generator, request, until, value
from tests.unit.archiver.desk import no_composer
from tests.unit.archiver.sounds import FFMPEG

FILE_SECONDS = 20
SPEED = 1 / SCALE  # of the simulators: the platform's clockwork and theirs go at one pace
_OUTBOX = "SELECT id, topic, payload FROM outbox WHERE id > $1 ORDER BY id"
_BEGIN_ANEW = (
    "DELETE FROM generation_queue",
    "DELETE FROM archive_jobs",
    "UPDATE segment_attempts SET gave_up_rank = rank, finished_at = clock_timestamp() WHERE alive",
    "UPDATE quota_slots SET free_at = 'epoch'",
    (
        "UPDATE quota_accounts SET closed_until = 'epoch', close_reason = NULL, slots_allowed = slots_contract,"
        " breaker_since = clock_timestamp(), throttled_at = NULL"
    ),
)


@dataclass
class Whole:
    """What a test asks and looks at."""

    pool: Database
    resources: Resources
    tools: Tools
    objects: ObjectStore
    archives: bool = False  # files cost a second of the processor each: only where a test wants them

    async def begin_anew(self) -> None:
        """Nothing of an earlier test is waited for any more, and every account is open."""
        self.archives = False
        for statement in _BEGIN_ANEW:
            await fetch(self.pool, statement)

    async def ask(self, segments: int = 1, *, due_in: float = 3600.0, **plan: Any) -> list[UUID]:
        """Request segments whose listener can wait, so that nobody bridges unless a test wants it."""
        form = PLAN | {"seconds": FILE_SECONDS - 5, "file_seconds": FILE_SECONDS} | plan
        run_id, ids = await add_run(self.pool, segments=segments, due_in=(due_in,), plan=form, deadline_in=7200.0)
        await request(self.resources, run_id, ids)
        return ids

    async def attempts(self, segment_id: UUID) -> list[asyncpg.Record]:
        query = "SELECT * FROM segment_attempts WHERE segment_id = $1 ORDER BY attempt_no"
        return await fetch(self.pool, query, segment_id)

    async def reached(self, segment_id: UUID, rank: int, *, provider: str | None = None) -> asyncpg.Record:
        """The newest attempt (at that provider) as soon as it has this rank."""
        found: list[asyncpg.Record] = []

        async def has() -> bool:
            rows = [row for row in await self.attempts(segment_id) if provider in (None, row["provider"])]
            found[:] = [row for row in rows if row["rank"] >= rank][-1:]
            return bool(found)

        await until(has, 40)
        return found[0]

    async def completed(self, segment_id: UUID) -> None:
        """Let the archiver work until the segment is complete."""
        self.archives = True

        async def is_complete() -> bool:
            return await self.status(segment_id) == "complete"

        await until(is_complete, 40)

    async def status(self, segment_id: UUID) -> str:
        return str(await value(self.pool, "SELECT status FROM parcours_segments WHERE id = $1", segment_id))

    async def make_late(self, segment_id: UUID) -> None:
        """An hour passes for the attempts of a segment; what they heard stays young."""
        move = "UPDATE segment_attempts SET dispatched_at = dispatched_at - interval '1 hour' WHERE segment_id = $1"
        await fetch(self.pool, move, segment_id)

    async def keys(self, provider: str) -> list[str]:
        rows = await fetch(self.pool, "SELECT key FROM provider_keys WHERE provider = $1", provider)
        return [row["key"] for row in rows]


@asynccontextmanager
async def open_whole(made: Settings, dsn: str, folder: Path, origins: tuple[str, ...]) -> AsyncIterator[Whole]:
    """The generator of these settings with an archiver; `origins`: where the files of simulators are."""
    store = ObjectSettings(object_store="folder", object_folder=folder / "objects")
    spool = folder / "spool"
    spool.mkdir()
    async with (
        open_database(dsn, "archiver", min_size=1) as pool,
        open_objects(store) as objects,
        httpx.AsyncClient(trust_env=False, verify=authorities()) as client,
        open_generator(made) as resources,
    ):
        confirm = Generator(client, "http://127.0.0.1:9", "secret").confirm  # nobody asks it: bodies are signed
        files = Files(AllowList.of((), origins))
        tools = Tools(pool, objects, files, confirm, no_composer, FFMPEG, spool, SCALE)
        whole = Whole(pool, resources, tools, objects)
        hearing = asyncio.create_task(_hear(whole))
        try:
            yield whole
        finally:
            hearing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await hearing


async def _hear(whole: Whole) -> None:
    """What Kafka's consumers do: hand each piece of news on, then work off what it left."""
    seen = 0
    while True:
        for row in await fetch(whole.pool, _OUTBOX, seen):
            seen = row["id"]
            async with whole.pool.transaction() as connection:
                if row["topic"] == "segment.failed":
                    event = SegmentFailed.model_validate(row["payload"])
                    await attempt_failed(connection, event, resources=whole.resources)
                elif row["topic"] == "segment.delivered" and whole.archives:
                    await on_delivered(connection, SegmentDelivered.model_validate(row["payload"]))
        if whole.archives:
            await sweep_delivered(whole)
            await carry(whole.tools)
        await asyncio.sleep(0.03)


async def sweep_delivered(whole: Whole) -> None:
    """What was delivered before the archiver listened."""
    async with whole.pool.connection() as connection:
        await storage.sweep_delivered(connection, 0.0)


@asynccontextmanager
async def own_database(server: str, template: str) -> AsyncIterator[str]:
    """A database for all tests of a file."""
    name = f"parcours_whole_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@asynccontextmanager
async def serving_callback(dsn: str, **changes: Any) -> AsyncIterator[str]:
    """The callback service on a socket; its origin."""
    facts: dict[str, Any] = {"database_url": dsn, "internal_secret": SECRET, "time_scale": SCALE}
    app = make_app(CallbackSettings(**(facts | changes)))
    server = make_server(app, 0, EmbeddedServer)
    running = asyncio.create_task(server.serve())
    while not server.started:
        assert not running.done()
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
