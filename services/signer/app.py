"""The signer's composition root."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from libs.common import migrate
from libs.common.database import Database, open_database
from libs.common.health import Readiness
from libs.common.http import create_app
from libs.common.identity import Verifier
from libs.common.loops import Work, open_loops
from libs.common.objects import open_objects
from libs.common.signing import MediaSigner
from services.signer.handlers import Links
from services.signer.routes import Desk, router
from services.signer.settings import Settings

SERVICE = "signer"
LOOK_SECONDS = 1.0  # for the schema, until it is there


def make_app(settings: Settings) -> FastAPI:
    """Build the service; a missing signing key or identity ends the start with its reason."""
    signer = MediaSigner.from_settings(settings)
    desk = Desk(Verifier.from_settings(settings))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        readiness: Readiness = app.state.readiness
        async with AsyncExitStack() as opened:
            direct = settings.media_mode == "direct"
            store = await opened.enter_async_context(open_objects(settings)) if direct else None
            dsn = settings.database_url.get_secret_value()
            desk.database = await opened.enter_async_context(open_database(dsn, SERVICE))
            desk.links = Links(signer, settings.public_url, store)
            loops = await opened.enter_async_context(open_loops(settings.drain_seconds / 2))
            loops.add("schema", schema_awaited(desk.database, readiness), every=LOOK_SECONDS)
            yield

    async def database_answers() -> None:
        if desk.database is None:
            raise ConnectionError("the database is not open yet")
        await desk.database.check()

    app = create_app(service=SERVICE, settings=settings, lifespan=lifespan, checks={"database": database_answers})
    app.include_router(router(desk))
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
