"""Owns which preview a segment shows: the first that was published, until its stream breaks or its take is refused."""

from typing import Final

from libs.common.database import Connection
from libs.common.events import SegmentPreviewed
from libs.common.lifecycle import note_segment
from libs.common.outbox import announce
from services.archiver import storage
from services.archiver.storage import Order

_SHOWN: Final = "SELECT metadata ->> 'preview_path' FROM parcours_segments WHERE id = $1 FOR NO KEY UPDATE"


async def publish(connection: Connection, order: Order) -> bool:
    """Show this attempt's preview unless another one is shown; the caller holds the run's lock."""
    shown = await connection.fetchval(_SHOWN, order.segment_id)
    if shown is None:
        await note_segment(connection, order.segment_id, notes={"preview_path": order.preview_key})
        await announce(connection, _news(order, order.preview_key))
    return shown in (None, order.preview_key)


async def withdraw(connection: Connection, order: Order) -> None:
    """Show this attempt's preview no more, and look for another; the caller holds the run's lock."""
    if await connection.fetchval(_SHOWN, order.segment_id) != order.preview_key:
        return
    await note_segment(connection, order.segment_id, notes={"preview_path": None})
    await announce(connection, _news(order, None))
    await storage.ask_other_previews(connection, order.segment_id, order.attempt_id)


def _news(order: Order, path: str | None) -> SegmentPreviewed:
    return SegmentPreviewed(
        run_id=order.run_id, segment_id=order.segment_id, attempt_id=order.attempt_id, preview_path=path
    )
