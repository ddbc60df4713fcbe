"""Listeners who read slowly do not keep others from the store."""

import asyncio
from contextlib import AsyncExitStack, aclosing

from libs.common.objects import ObjectStore
from tests.integration.objects.conftest import Put

LISTENERS = 100  # at one gateway; an account carries some 350 (performance-and-reliability.md §1)
FILE = bytes(1024 * 1024)  # more than what the sockets' buffers take from a reader


async def test_a_hundred_slow_readers_leave_the_store_open_to_the_next(store: ObjectStore, put: Put) -> None:
    await put("runs/a/b.mp3", FILE)
    async with AsyncExitStack() as stack, asyncio.timeout(30):
        for _ in range(LISTENERS):
            pieces = await stack.enter_async_context(aclosing(store.read("runs/a/b.mp3")))  # type: ignore[type-var]
            assert await anext(pieces)
        assert await store.head("runs/a/b.mp3") is not None
