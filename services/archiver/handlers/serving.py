"""Owns reading a preview that is shown but may not be kept yet: from the copy in hand, the store, or its own stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import structlog

from services.archiver import storage
from services.archiver.domain.failures import GiveUp, MayPass
from services.archiver.handlers.growing import GrowingCopies, GrowingCopy
from services.archiver.handlers.previews import preview_url
from services.archiver.handlers.tools import Tools
from services.archiver.storage import Order

OPEN_AT_ONCE: Final = 32  # streams opened for readers; further ones are told to come again

_log = structlog.get_logger()


class Previews:
    """Previews as they can be read now; streams it opens itself are shared by all readers and end with them."""

    def __init__(self, tools: Tools, copies: GrowingCopies) -> None:
        self._tools = tools
        self._copies = copies
        self._opening: set[asyncio.Task[None]] = set()

    async def find(self, segment_id: UUID, attempt_no: int | None = None) -> AsyncIterator[bytes] | None:
        """The bytes of a segment's shown preview from the first on; `None` when there is none.

        Of this attempt alone where one is named: who has read one preview must not go on in another. Raises `MayPass`
        when it cannot be opened now.
        """
        order = await self._shown(segment_id)
        if order is None or attempt_no not in (None, order.attempt_no):
            return None
        copy = self._copies.find(order.preview_key)
        if copy is None:
            if await self._tools.objects.head(order.preview_key) is not None:
                return self._tools.objects.read(order.preview_key)
            copy = self._copies.find(order.preview_key) or await self._open(order)
        return copy.read() if await copy.begun() else None

    async def close(self) -> None:
        """End the streams that were opened for readers."""
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)

    async def _shown(self, segment_id: UUID) -> Order | None:
        async with self._tools.database.connection() as connection:
            path = await storage.shown_preview(connection, segment_id)
            attempt_id = await storage.published_attempt(connection, segment_id, path) if path else None
            order = await storage.read_order(connection, attempt_id) if attempt_id else None
        return order if order is not None and preview_url(order) else None

    async def _open(self, order: Order) -> GrowingCopy:
        if len(self._opening) >= OPEN_AT_ONCE:
            raise MayPass("too many streams")
        began: asyncio.Future[GrowingCopy] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._follow(order, began), name="preview-for-readers")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        either: set[asyncio.Future[GrowingCopy] | asyncio.Future[None]] = {task, began}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not began.done():  # a full disk; nobody would ever say that it began
            raise MayPass("no room for a copy") from (None if task.cancelled() else task.exception())
        return began.result()

    async def _follow(self, order: Order, began: "asyncio.Future[GrowingCopy]") -> None:
        with self._tools.room() as folder:
            copy = self._copies.begin(order.preview_key, folder / "preview.mp3")
            began.set_result(copy)
            try:
                async with self._tools.files.stream(preview_url(order) or "") as chunks:
                    async for chunk in chunks:
                        copy.add(chunk)
                copy.end(broken=False)
            except (GiveUp, MayPass) as failure:
                _log.info("preview_unreadable", reason=type(failure).__name__, segment_id=str(order.segment_id))
            finally:
                if not copy.ended:
                    copy.end(broken=True)
                self._copies.forget(order.preview_key, copy)
