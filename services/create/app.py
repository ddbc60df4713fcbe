"""Create's composition root."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from libs.common.consumers import Consumers
from libs.common.database import Channel, Database, open_database
from libs.common.http import create_app
from libs.common.identity import Verifier
from libs.common.loops import Loops, open_loops
from libs.common.messaging import open_messaging
from libs.common.run_bounds import Bounds
from libs.common.schema_gate import await_schema
from libs.common.wakeups import Wakeups, open_wakeups
from services.create import consumers as subscriptions
from services.create import sweeps
from services.create.domain.keys import derive_key
from services.create.handlers.starting import Rules
from services.create.handlers.words import Author
from services.create.routes import Desk, router
from services.create.settings import Settings

SERVICE = "create"


def make_app(settings: Settings) -> FastAPI:
    """Build the service; a missing identity or internal secret ends the start with its reason."""
    desk = Desk(Verifier.from_settings(settings), rules_of(settings))
    dsn = settings.database_url.get_secret_value()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            enter = opened.enter_async_context
            database = await enter(open_database(dsn, SERVICE))
            wakeups = await enter(open_wakeups(dsn, SERVICE))
            author = await _open_author(settings, opened)
            loops = await enter(open_loops(settings.drain_seconds / 2, app.state.pulse))
            await_schema(loops, database, app.state.readiness)
            consumers = _consumers(settings, database)
            if author is not None:
                subscriptions.subscribe(consumers)
                _start_workers(settings, loops, wakeups, database, author)
                sweeps.start_hearing(loops, database, consumers.group_id, time_scale=settings.time_scale)
            await enter(open_messaging(consumers, database=database, wakeups=wakeups, loops=loops))
            desk.database = database
            yield

    async def database_answers() -> None:
        await desk.open.check()

    app = create_app(service=SERVICE, settings=settings, lifespan=lifespan, checks={"database": database_answers})
    app.include_router(router(desk))
    return app


def rules_of(settings: Settings) -> Rules:
    """What every request is judged by; refuses an empty internal secret."""
    secret = settings.internal_secret.get_secret_value().encode()
    return Rules(
        plan_key=derive_key(secret, "plan_hash"),
        body_key=derive_key(secret, "request_body"),
        bounds=Bounds(settings.runs_unfinished_max, settings.runs_per_day_max),
        providers=settings.provider_order(),
    )


async def _open_author(settings: Settings, opened: AsyncExitStack) -> Author | None:
    """The model, where there is a key for one."""
    if not settings.openai_api_key.get_secret_value():
        return None
    from services.create.clients import open_author  # noqa: PLC0415 - the SDK costs half a second of start and 27 MB

    return await opened.enter_async_context(
        open_author(
            api_key=settings.openai_api_key,
            base_url=settings.openai_base_url,
            model=settings.openai_model,
            seconds=settings.openai_seconds,
        )
    )


def _start_workers(settings: Settings, loops: Loops, wakeups: Wakeups, database: Database, author: Author) -> None:
    lease = settings.openai_seconds + sweeps.COMMIT_SECONDS * settings.time_scale
    sweeps.start(loops, wakeups, database, author, workers=settings.text_workers, lease_seconds=lease)


def _consumers(settings: Settings, database: Database) -> Consumers:
    return Consumers(
        database,
        settings.kafka_bootstrap,
        SERVICE,
        settings.kafka_prefix,
        wakes=(Channel.OUTBOX, Channel.TEXTS),
        time_scale=settings.time_scale,
    )
