"""The signer's composition root."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from libs.common.database import open_database
from libs.common.health import Readiness
from libs.common.http import create_app
from libs.common.identity import Verifier
from libs.common.loops import open_loops
from libs.common.objects import open_objects
from libs.common.schema_gate import await_schema
from libs.common.signing import MediaSigner
from services.signer.handlers import Links
from services.signer.routes import Desk, router
from services.signer.settings import Settings

SERVICE = "signer"


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
            loops = await opened.enter_async_context(open_loops(settings.drain_seconds / 2, app.state.pulse))
            await_schema(loops, desk.database, readiness)
            yield

    async def database_answers() -> None:
        if desk.database is None:
            raise ConnectionError("the database is not open yet")
        await desk.database.check()

    app = create_app(service=SERVICE, settings=settings, lifespan=lifespan, checks={"database": database_answers})
    app.include_router(router(desk))
    return app
