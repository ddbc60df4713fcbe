"""The callback's composition root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from libs.common import migrate
from libs.common.database import Database, open_database
from libs.common.health import Readiness
from libs.common.http import create_app
from libs.common.loops import Work, open_loops
from services.callback.handlers import LATE_AFTER, Rules
from services.callback.routes import Ears, install
from services.callback.settings import Settings

SERVICE = "callback"
LOOK_SECONDS = 1.0  # for the schema, until it is there


def make_app(settings: Settings) -> FastAPI:
    """Build the service; it opens the database and nothing else, since it may reach nothing else (W6)."""
    late_after = LATE_AFTER * settings.time_scale
    rules = Rules(simple_dialect=settings.callback_simple_dialect, late_after=late_after)
    ears = Ears(rules, settings.internal_secret.get_secret_value().encode())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        readiness: Readiness = app.state.readiness
        async with (
            open_database(settings.database_url.get_secret_value(), SERVICE) as database,
            open_loops(settings.drain_seconds / 2) as loops,
        ):
            ears.database = database
            loops.add("schema", schema_awaited(database, readiness), every=LOOK_SECONDS)
            yield

    async def database_answers() -> None:
        if ears.database is None:
            raise ConnectionError("the database is not open yet")
        await ears.database.check()

    app = create_app(service=SERVICE, settings=settings, lifespan=lifespan, checks={"database": database_answers})
    install(app, ears)
    return app


def schema_awaited(database: Database, readiness: Readiness) -> Work:
    """Keep `/readyz` at 503 until the schema is the one this code needs."""
    readiness.waiting_for.add("schema")

    async def look() -> bool:
        if "schema" in readiness.waiting_for:
            async with database.connection() as connection:
                if await migrate.is_current(connection):
                    readiness.waiting_for.discard("schema")
        return False

    return look
