"""Owns the composition of the service: workers warmed before the first request, jobs, files in a folder of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from fastapi import FastAPI

from libs.common.health import Check
from libs.common.http import create_app
from libs.common.trust import authorities
from services.composer.clients import CallbackSender
from services.composer.handlers import Studio
from services.composer.leftovers import FOLDER_PREFIX, remove_leftovers
from services.composer.pool import RenderPool
from services.composer.routes import router
from services.composer.settings import Settings

SERVICE = "composer"
EXPIRY_SECONDS = 30.0  # s between two looks for jobs that are too old


def make_app(settings: Settings) -> FastAPI:
    """The whole service; nothing runs before its lifespan opens."""
    pool = RenderPool(settings.composer_workers)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(remove_leftovers)
        async with contextlib.AsyncExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix=FOLDER_PREFIX)))
            client = await stack.enter_async_context(
                httpx.AsyncClient(trust_env=False, verify=authorities(), follow_redirects=False)
            )
            stack.push_async_callback(pool.stop)
            if settings.is_expected:
                await pool.start()
            studio = Studio(pool, _sender(client, settings), folder, max_jobs=settings.composer_max_jobs)
            for name, work in (("expiry", _expire(app, studio, settings)), ("drain", _drain(app, studio))):
                stack.push_async_callback(_finished, asyncio.create_task(work, name=name))
            app.state.studio, app.state.settings, app.state.pool = studio, settings, pool
            yield

    checks: dict[str, Check] = {"workers": pool.check}
    app = create_app(service=SERVICE, settings=settings, lifespan=lifespan, checks=checks)
    app.include_router(router)
    return app


def _sender(client: httpx.AsyncClient, settings: Settings) -> CallbackSender:
    return CallbackSender(
        client,
        timeout_seconds=settings.composer_callback_timeout_seconds,
        retry_seconds=settings.retry_seconds,
    )


async def _expire(app: FastAPI, studio: Studio, settings: Settings) -> None:
    while True:
        app.state.pulse.beat("expiry")
        await studio.expire(settings.composer_keep_seconds * settings.time_scale, settings.composer_max_kept)
        await asyncio.sleep(EXPIRY_SECONDS * settings.time_scale)


async def _drain(app: FastAPI, studio: Studio) -> None:
    """From the signal on nothing is made: its takers ask again elsewhere, and the same seed gives the same bits."""
    try:
        await app.state.readiness.draining.wait()
    finally:
        await studio.close()


async def _finished(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
