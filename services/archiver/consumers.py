"""Owns what the archiver hears: each piece of news becomes a job; the work itself is leased (never done here)."""

from libs.common.consumers import Consumers
from libs.common.database import Connection
from libs.common.events import SegmentDelivered, SegmentFirst
from services.archiver import storage


def subscribe(consumers: Consumers) -> None:
    """Hear of previews and of finished files."""
    consumers.on(SegmentFirst, on_first)
    consumers.on(SegmentDelivered, on_delivered)


async def on_first(connection: Connection, event: SegmentFirst) -> None:
    """A preview is to be copied."""
    await storage.insert_job(connection, event.attempt_id, "preview")


async def on_delivered(connection: Connection, event: SegmentDelivered) -> None:
    """A finished file is to be stored."""
    await storage.insert_job(connection, event.attempt_id, "final")
