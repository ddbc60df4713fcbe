"""Owns one reader's stream: a snapshot (or what was missed), then the news as they come, as server-sent events."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import orjson

from libs.common.database import Database
from services.gateway import handlers, storage
from services.gateway.links import MediaLinks
from services.gateway.progress import News, ProgressFeed, Reader
from services.gateway.views import event_data

HEARTBEAT = b": \n\n"
_MAX_DIGITS = 18  # of an id; a bigint has 19


@dataclass(frozen=True)
class StreamParts:
    """What a stream is made of."""

    database: Database
    feed: ProgressFeed
    links: MediaLinks
    queue: int
    heartbeat_seconds: float


async def frames(parts: StreamParts, run_id: UUID, last_event_id: str | None) -> AsyncIterator[bytes]:
    """Yield a run's stream, which ends only when the process leaves or the database is away.

    The caller has checked that the reader owns the run. The reader joins before the snapshot is read, and skips what
    the snapshot contains: nothing is missed and nothing comes twice.
    """
    reader = parts.feed.join(run_id, parts.queue)
    try:
        opening, position = await _open(parts, run_id, last_event_id)
        yield opening
        parts.feed.follow(reader, position)
        while not parts.feed.closed:
            frame, position = await _next(parts, reader, position)
            yield frame
        yield _goodbye()
    finally:
        parts.feed.leave(reader)


async def _next(parts: StreamParts, reader: Reader, position: int) -> tuple[bytes, int]:
    """Wait for news and return them with the new position; a heartbeat when there are none."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(parts.heartbeat_seconds):
            await reader.arrived.wait()
    items, dropped = reader.take()
    if dropped > position:  # else it was dropped while a snapshot was read that contains it
        return await _snapshot(parts, reader.run_id)
    news = [item for item in items if item.id > position]
    if not news:
        return HEARTBEAT, position
    return b"".join([await _frame(item, parts.links) for item in news]), news[-1].id


async def _open(parts: StreamParts, run_id: UUID, last_event_id: str | None) -> tuple[bytes, int]:
    """Return what was missed since the id, if its row of this run still exists, else the snapshot; and the position."""
    known = _event_id(last_event_id)
    if known is not None:
        async with parts.database.connection() as connection:
            if await storage.is_event_of(connection, run_id, known):
                rows = await storage.news(connection, [(run_id, known)])
                news = [News(row["id"], row["topic"], row["payload"], row["created_at"]) for row in rows]
                missed = b"".join([await _frame(item, parts.links) for item in news])
                return missed or HEARTBEAT, news[-1].id if news else known
    return await _snapshot(parts, run_id)


async def _snapshot(parts: StreamParts, run_id: UUID) -> tuple[bytes, int]:
    async with parts.database.connection() as connection:
        view = await handlers.owners_view(connection, run_id, links=parts.links)
    data = view.model_dump_json(by_alias=True).encode()
    return b"event: snapshot\nid: %d\ndata: %s\n\n" % (view.last_event_id, data), view.last_event_id


async def _frame(item: News, links: MediaLinks) -> bytes:
    data = orjson.dumps(await event_data(item.payload, item.at, address=links.address))
    return b"event: %s\nid: %d\ndata: %s\n\n" % (item.topic.encode(), item.id, data)


def _goodbye() -> bytes:
    """Spread the readers of a gateway that leaves over 1 to 5 s (operations.md §6.2)."""
    return b"retry: %d\n\n" % random.randint(1000, 5000)  # noqa: S311 - jitter is no secret


def _event_id(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS:
        return None
    return int(text)
