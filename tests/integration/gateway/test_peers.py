"""What the gateway holds open for minutes does not use up what its requests need."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from services.gateway import clients
from services.gateway.clients import open_peers

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\n"


@pytest.fixture
async def archiver() -> AsyncIterator[str]:
    """A service whose previews never end and whose other answers come at once."""
    left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if b"/internal/previews/" in asked:
            writer.write(_HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
            await left.wait()
        else:
            writer.write(_HEAD + b"content-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"
        left.set()


async def test_a_header_of_another_alphabet_is_for_the_service_to_refuse(archiver: str) -> None:
    async with open_peers("secret", 2.0) as peers:
        for name in ("idempotency-key", "traceparent", "accept-language", "content-type"):
            answer = await peers.ask("POST", f"{archiver}/runs", headers={name: "\xc3\xa9\xff"})
            assert answer.text == "ok"


async def test_previews_that_still_grow_leave_connections_for_everything_else(
    archiver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "ASKED_AT_ONCE", 3)
    async with open_peers("secret", 2.0) as peers, AsyncExitStack() as stack:
        for _ in range(3):
            assert await stack.enter_async_context(peers.growing_preview(archiver, uuid4(), 1)) is not None
        answer = await peers.ask("GET", f"{archiver}/runs", headers={})
        assert answer.text == "ok"
