"""The callback's composition root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from libs.common.database import Database, open_database
from libs.common.health import Readiness
from libs.common.http import create_app
from libs.common.loops import open_loops
from libs.common.schema_gate import await_schema
from services.callback.handlers.hearing import REREAD_KEYS_AFTER, Hearing, Rules
from services.callback.handlers.lanes import open_lanes
from services.callback.handlers.writing import LATE_AFTER
from services.callback.routes import Ears, install
from services.callback.settings import Settings

SERVICE = "callback"


def make_app(settings: Settings) -> FastAPI:
    """Build the service; it opens the database and nothing else, since it may reach nothing else (W6)."""
    rules = Rules(
        simple_dialect=settings.callback_simple_dialect,
        late_after=LATE_AFTER * settings.time_scale,
        signature_seconds=settings.signature_seconds,
        kie_key=settings.kie_webhook_hmac_key.get_secret_value().encode(),
        reread_keys_after=REREAD_KEYS_AFTER * settings.time_scale,
    )
    ears = Ears(settings.internal_secret.get_secret_value().encode())
    opened: list[Database] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        readiness: Readiness = app.state.readiness
        async with (
            open_database(settings.database_url.get_secret_value(), SERVICE) as database,
            open_lanes(database, rules.late_after, settings.callback_lanes) as lanes,
            open_loops(settings.drain_seconds / 2, app.state.pulse) as loops,
        ):
            opened.append(database)
            ears.hearing = Hearing(rules, database, lanes)
            await_schema(loops, database, readiness)
            yield

    async def database_answers() -> None:
        if not opened:
            raise ConnectionError("the database is not open yet")
        await opened[-1].check()

    app = create_app(service=SERVICE, settings=settings, lifespan=lifespan, checks={"database": database_answers})
    install(app, ears)
    return app
