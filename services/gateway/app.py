"""The gateway's composition root."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.middleware import Middleware

from libs.common import problems
from libs.common.database import UNAVAILABLE, Channel, open_database
from libs.common.errors import SettingError
from libs.common.health import Check, Health, Pulse, Readiness
from libs.common.http import create_app
from libs.common.identity import Verifier
from libs.common.loops import Work, open_loops
from libs.common.objects import StoreUnavailable, open_objects
from libs.common.schema_gate import await_schema
from libs.common.signing import MediaSigner
from libs.common.wakeups import open_wakeups
from services.gateway.clients import open_peers, unavailable
from services.gateway.domain.addresses import networks
from services.gateway.domain.rates import Rate
from services.gateway.edge.cors import Cors
from services.gateway.edge.limits import AddressLimit
from services.gateway.handlers import Visitors
from services.gateway.links import MediaLinks
from services.gateway.progress import SWEEP_SECONDS, ProgressFeed
from services.gateway.routes import earlier, events, health, media, openapi, runs, sessions
from services.gateway.routes.dependencies import Parts
from services.gateway.routes.pages import pages
from services.gateway.settings import Settings

SERVICE: Final = "gateway"
AWAY: Final = (*UNAVAILABLE, StoreUnavailable)


def make_app(settings: Settings) -> FastAPI:
    """Build the service; raises SettingError when the settings contradict each other."""
    verifier, signer = Verifier.from_settings(settings), MediaSigner.from_settings(settings)
    if settings.demo_sessions and not settings.supabase_jwt_secret.get_secret_value():
        raise SettingError("DEMO_SESSIONS: expected SUPABASE_JWT_SECRET to sign with, found none")
    opened: list[Parts] = []
    checks = _checks(opened)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        readiness: Readiness = app.state.readiness
        dsn = settings.database_url.get_secret_value()
        async with (
            open_database(dsn, SERVICE) as database,
            open_wakeups(dsn, SERVICE) as wakeups,
            open_objects(settings) as objects,
            open_peers(settings.internal_secret.get_secret_value(), settings.peer_timeout_seconds) as peers,
            open_loops(settings.drain_seconds / 2, app.state.pulse) as loops,
        ):
            wake = wakeups.event(Channel.OUTBOX)
            feed = ProgressFeed(database, wake)
            direct = settings.media_mode == "direct"
            parts = app.state.parts = Parts(
                settings=settings,
                database=database,
                verifier=verifier,
                visitors=Visitors(database),
                user_rate=Rate(settings.user_requests_per_minute),
                peers=peers,
                objects=objects,
                signer=signer,
                links=MediaLinks(signer=signer, objects=objects, public_url=settings.public_url, direct=direct),
                feed=feed,
            )
            opened.append(parts)
            await_schema(loops, database, readiness)
            loops.add("progress", _beating(feed, app.state.pulse), every=SWEEP_SECONDS, wake=wake)
            closing = asyncio.create_task(_close_streams(readiness, feed), name="close-streams")
            try:
                yield
            finally:
                feed.close()
                closing.cancel()

    app = create_app(service=SERVICE, settings=settings, lifespan=lifespan, checks=checks)
    _add_edge(app, settings)
    _add_routes(app, settings, Health(version=settings.version, track=settings.track, checks=checks))
    return app


def _checks(opened: list[Parts]) -> dict[str, Check]:
    """Return what `/health` asks; until the lifespan has opened the parts, nothing answers."""

    async def database() -> None:
        await opened[0].database.check()

    async def object_store() -> None:
        await opened[0].objects.check()

    return {"database": database, "objectStore": object_store}


def _add_edge(app: FastAPI, settings: Settings) -> None:
    """Put the limit between the request's context and its body: a refused request's body is not read."""
    rate = Rate(settings.address_requests_per_minute)
    trusted = networks(settings.trusted_proxies)
    app.user_middleware.insert(1, Middleware(AddressLimit, rate=rate, trusted=trusted))
    app.add_middleware(Cors, origins=settings.cors_origins)  # outermost: refusals carry its headers too
    for error in AWAY:
        app.add_exception_handler(error, _on_away)


def _add_routes(app: FastAPI, settings: Settings, report: Health) -> None:
    for router in (runs.router, events.router, media.router, earlier.router, health.router(report)):
        app.include_router(router)
    if settings.demo_sessions:
        app.include_router(sessions.router)
    # Only with MEDIA_MODE=direct does the page's audio come from another origin.
    elsewhere = settings.s3_endpoint if settings.media_mode == "direct" else None
    app.include_router(pages(elsewhere))
    openapi.install(app)


def _beating(feed: ProgressFeed, pulse: Pulse) -> Work:
    async def turn() -> bool:
        pulse.beat("progress")
        return await feed.turn()

    return turn


async def _close_streams(readiness: Readiness, feed: ProgressFeed) -> None:
    """End the streams as soon as the process drains, else they would hold it until the last moment."""
    await readiness.draining.wait()
    feed.close()


def _on_away(_request: Request, _error: Exception) -> Response:
    return problems.response(unavailable())
