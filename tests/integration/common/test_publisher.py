"""A broker that hangs costs every relay one bounded wait, however much there is to publish."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from libs.common import publisher as module
from libs.common.publisher import Publisher, PublishFailedError

AT_ONCE = 100  # a relay's batch


@pytest.fixture
async def silent_broker() -> AsyncIterator[str]:
    """The address of a server that accepts and never answers, as a broker that is paused."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


async def test_a_whole_batch_waits_only_once_for_a_broker_that_hangs(
    silent_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PUBLISH_SECONDS", 0.2)
    monkeypatch.setattr(module, "REQUEST_MS", 200)
    publisher = Publisher(silent_broker, "test")
    began = time.monotonic()
    results = await asyncio.gather(
        *(publisher.publish("topic", key=b"k", value=b"v", headers={}) for _ in range(AT_ONCE)), return_exceptions=True
    )
    await publisher.close()
    assert all(isinstance(result, PublishFailedError) for result in results)
    assert time.monotonic() - began < AT_ONCE * 0.2 / 2, "each message waited for a start of its own"
