"""Composition root of the generator: opens what it needs, builds everything, closes in reverse."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from fastapi import FastAPI

from libs.common import migrate
from libs.common.consumers import Consumers
from libs.common.database import Channel, Database, open_database
from libs.common.health import Pulse
from libs.common.http import create_app
from libs.common.loops import Loops, open_loops
from libs.common.messaging import open_messaging
from libs.common.wakeups import Wakeups, open_wakeups
from services.generator import consumers, sweeps
from services.generator.clients import CallbackClient, MusicClient, open_http
from services.generator.domain.clock_watch import ClockWatch
from services.generator.handlers.dispatch import LOOK_SECONDS, Dispatcher
from services.generator.handlers.resources import Resources
from services.generator.routes import make_router
from services.generator.settings import Settings
from services.generator.storage import accounts

SERVICE: Final = "generator"
SCHEMA_LOOK_SECONDS: Final = 0.5
MAX_CONNECTIONS: Final = 12  # a burst of 20 replies commits in a few milliseconds each


def make_app(settings: Settings) -> FastAPI:
    """Build the application; nothing is opened before its lifespan."""
    held: dict[str, Resources] = {}

    async def database_answers() -> None:
        await held["resources"].database.check()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _running(settings, app.state.pulse) as resources:
            held["resources"] = resources
            yield

    app = create_app(service=SERVICE, settings=settings, lifespan=lifespan, checks={"database": database_answers})
    app.include_router(make_router(held, settings.internal_secret))
    return app


@contextlib.asynccontextmanager
async def _running(settings: Settings, pulse: Pulse) -> AsyncIterator[Resources]:
    dsn = settings.database_url.get_secret_value()
    async with contextlib.AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(dsn, SERVICE, max_size=MAX_CONNECTIONS))
        await _schema_is_current(database)
        resources = await _resources(settings, database, stack)
        await _upsert_accounts(resources)
        wakeups = await stack.enter_async_context(open_wakeups(dsn, SERVICE))
        relaying = await stack.enter_async_context(open_loops(1.0, pulse))
        await stack.enter_async_context(_messaging(settings, resources, wakeups, relaying))
        # Entered last, so ended first: nothing is claimed any more, then replies under way are read.
        dispatchers = await stack.enter_async_context(_dispatchers(resources, wakeups, settings.drain_seconds / 2))
        loops = await stack.enter_async_context(open_loops(settings.drain_seconds / 4, pulse))
        for dispatcher, wake in dispatchers:
            loops.add(f"dispatch-{dispatcher.name}", dispatcher.turn, every=LOOK_SECONDS, wake=wake)
        sweeps.start(loops, resources)
        yield resources


async def _resources(settings: Settings, database: Database, stack: contextlib.AsyncExitStack) -> Resources:
    http = await stack.enter_async_context(open_http())
    roster, clock = settings.roster(), settings.clock
    return Resources(
        database=database,
        roster=roster,
        clock=clock,
        tracks=[settings.track],
        music=MusicClient(http, settings.access(roster), clock),
        callback=CallbackClient(http, settings.callback_url, settings.internal_secret.get_secret_value(), clock),
    )


@contextlib.asynccontextmanager
async def _dispatchers(
    resources: Resources, wakeups: Wakeups, seconds: float
) -> AsyncIterator[list[tuple[Dispatcher, asyncio.Event]]]:
    """One sender a provider; when the block ends (the loops have stopped claiming) replies are waited for."""
    made, watch = [], ClockWatch()
    for provider in resources.roster.order:
        wake = wakeups.event(Channel.QUEUE)
        resources.database.also_wake(Channel.QUEUE, wake)
        made.append((Dispatcher(resources, provider, wake, watch), wake))
    try:
        yield made
    finally:
        await asyncio.gather(*(dispatcher.finish(seconds) for dispatcher, _wake in made))


def _messaging(
    settings: Settings, resources: Resources, wakeups: Wakeups, loops: Loops
) -> contextlib.AbstractAsyncContextManager[None]:
    subscriptions = Consumers(
        resources.database,
        settings.kafka_bootstrap,
        SERVICE,
        settings.kafka_prefix,
        wakes=(Channel.OUTBOX, Channel.QUEUE),
        time_scale=settings.time_scale,
    )
    consumers.subscribe(subscriptions, resources)
    return open_messaging(subscriptions, database=resources.database, wakeups=wakeups, loops=loops)


async def _schema_is_current(database: Database) -> None:
    """Wait for the migrations, which a command of their own applies."""
    while True:
        async with database.connection() as connection:
            if await migrate.is_current(connection):
                return
        await asyncio.sleep(SCHEMA_LOOK_SECONDS)


async def _upsert_accounts(resources: Resources) -> None:
    roster = resources.roster
    async with resources.database.transaction(Channel.QUEUE) as connection:
        for account, name in sorted(roster.accounts.items()):
            provider = roster.provider(name)
            settled = provider.complete_seconds + resources.clock.late
            await accounts.upsert(connection, account, name, provider.terms, settled)
