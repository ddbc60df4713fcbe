"""Owns the life of a service's process: serve, drain on SIGTERM or SIGINT, leave with status 0."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import ValidationError

from libs.common import logs
from libs.common.errors import SettingError
from libs.common.health import Readiness
from libs.common.log_events import LogEvent
from libs.common.settings import ServiceSettings

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)

SETTINGS_REFUSED = 2  # exit status of a configuration that cannot work: a restart would not mend it
START_FAILED = 3  # exit status when the lifespan could not be opened, as uvicorn's; a port that is taken gives 1
KEEP_ALIVE_S = 65  # longer than our HTTP clients keep idle connections, so that the client closes first and none breaks
_GRACE_S = 2.0  # what a cancelled shutdown gets before the process leaves without it

_log = logs.get_logger()


class _Server(uvicorn.Server):
    """Uvicorn without its signal handling, which ends the process by the signal instead of with status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def main(service: str, settings_class: type[SettingsT], make_app: Callable[[SettingsT], FastAPI]) -> None:
    """Run a service's process: settings, logs, serve. What cannot work is told in one line, with status 2."""
    try:
        settings = _settings(settings_class)
        logs.configure(service, settings.log_level, settings.version, settings.track)
        run(make_app, settings)
    except SettingError as refused:
        sys.stderr.write(f"{service}: {refused}\n")
        sys.exit(SETTINGS_REFUSED)


def _settings(settings_class: type[SettingsT]) -> SettingsT:
    try:
        return settings_class()
    except ValidationError as refused:
        reasons = map(_reason, refused.errors(include_input=False, include_context=False))
        raise SettingError("; ".join(reasons)) from None


def _reason(error: Mapping[str, Any]) -> str:
    """One refused variable by its name, and what it may be; pydantic's own words quote no value of a whole field."""
    text = error["msg"].removeprefix("Value error, ")
    return ": ".join([*(str(part).upper() for part in error["loc"][:1]), text])


def run(make_app: Callable[[SettingsT], FastAPI], settings: SettingsT) -> None:
    """Serve until SIGTERM or SIGINT; returns after a clean end, exits with another status than 0 when the start failed.

    From the signal on `/readyz` is 503 and `readiness.draining` is set; requests in hand get half of `DRAIN_SECONDS`,
    the lifespan the rest. What is not done by then is left to its lease and the process leaves, still with status 0.
    """
    app = make_app(settings)
    started = uvloop.run(_serve(app, settings))
    if not started:
        sys.exit(START_FAILED)


async def _serve(app: FastAPI, settings: ServiceSettings) -> bool:
    readiness: Readiness = app.state.readiness
    server = _Server(_config(app, settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, readiness.draining.set)
    serving = asyncio.create_task(server.serve(), name="serve")
    draining = asyncio.create_task(readiness.draining.wait(), name="drain")
    announcing = asyncio.create_task(_announce(server, settings), name="announce")
    await asyncio.wait({serving, draining}, return_when=asyncio.FIRST_COMPLETED)
    draining.cancel()
    announcing.cancel()
    if not serving.done():
        _log.info(LogEvent.SERVICE_DRAINING, seconds=settings.drain_seconds)
        server.should_exit = True
        await _finish(serving, settings.drain_seconds)
    await _collect(serving)
    if server.started:
        _log.info(LogEvent.SERVICE_STOPPED)
    return server.started


def _config(app: FastAPI, settings: ServiceSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,  # logs.py has arranged it
        access_log=False,  # paths and query strings hold ids and tokens (W5)
        proxy_headers=False,  # only the gateway believes X-Forwarded-For, and decides itself from whom
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, int(settings.drain_seconds / 2)),
    )


async def _announce(server: uvicorn.Server, settings: ServiceSettings) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn offers a flag, no event
        await asyncio.sleep(0.02)
    gc.freeze()  # what was imported and opened stays: a full collection that walks it stops every request for 70 ms
    _log.info(LogEvent.SERVICE_STARTED, host=settings.host, port=settings.port)


async def _finish(serving: asyncio.Task[None], seconds: float) -> None:
    """Wait for the server and for the threads it still runs; leave without them when their time is over (R5)."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    await asyncio.wait({serving}, timeout=seconds)
    if serving.done():
        # Ending the event loop would join these threads without a bound.
        threads = loop.create_task(loop.shutdown_default_executor())
        await asyncio.wait({threads}, timeout=max(_GRACE_S, deadline - loop.time()))
        if threads.done():
            return
    _log.warning(LogEvent.DRAIN_EXPIRED, seconds=seconds)
    serving.cancel()
    await asyncio.wait({serving}, timeout=_GRACE_S)  # sockets and temporary files get a chance
    sys.stdout.flush()
    os._exit(0)


async def _collect(serving: asyncio.Task[None]) -> None:
    try:
        await serving
    except SystemExit:
        return  # uvicorn exits by itself when the port is taken; `started` is False then
