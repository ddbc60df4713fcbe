"""Owns the composer and the listener that its service tests share."""

import signal
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from stack.embedded.ports import free_port
from tests.integration.composer.running import Composer, Listener, started


@pytest.fixture(scope="module")
async def listener() -> AsyncIterator[Listener]:
    listening = Listener()
    app = web.Application()
    app.router.add_post("/callback", listening.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    listening.url = f"http://127.0.0.1:{port}/callback"
    yield listening
    await runner.cleanup()


@pytest.fixture(scope="module")
async def composer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Composer]:
    running = await started(tmp_path_factory.mktemp("composer"), 2)
    yield running
    await running.client.aclose()
    running.process.send_signal(signal.SIGTERM)
    assert await running.process.wait() == 0
