"""The callback's composition root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from libs.common.database import open_database
from libs.common.health import Readiness
from libs.common.http import create_app
from libs.common.loops import open_loops
from libs.common.schema_gate import await_schema
from services.callback.handlers import LATE_AFTER, Rules
from services.callback.routes import Ears, install
from services.callback.settings import Settings

SERVICE = "callback"


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
            open_loops(settings.drain_seconds / 2, app.state.pulse) as loops,
        ):
            ears.database = database
            await_schema(loops, database, readiness)
            yield

    async def database_answers() -> None:
        if ears.database is None:
            raise ConnectionError("the database is not open yet")
        await ears.database.check()

    app = create_app(service=SERVICE, settings=settings, lifespan=lifespan, checks={"database": database_answers})
    install(app, ears)
    return app
