"""Owns which preview a segment shows: the first that was published, until its stream breaks or its take is refused."""

from typing import Final

from libs.common.database import Connection
from libs.common.events import SegmentPreviewed
from libs.common.lifecycle import note_segment
from libs.common.outbox import announce
from services.archiver import storage
from services.archiver.storage import Order

_SHOWN: Final = "SELECT metadata ->> 'preview_path' FROM parcours_segments WHERE id = $1 FOR NO KEY UPDATE"
_IN_TIME: Final = """
SELECT a.alive AND s.status <> 'complete'
FROM segment_attempts a JOIN parcours_segments s ON s.id = a.segment_id WHERE a.id = $1
"""


async def publish(connection: Connection, order: Order) -> bool:
    """Show this attempt's preview unless another one is shown; the caller holds the run's lock.

    False when another one is, or when this one came too late: its take was refused, or the final is there.
    """
    path = await shown(connection, order)
    if path is None:
        if not await connection.fetchval(_IN_TIME, order.attempt_id):
            return False
        await note_segment(connection, order.segment_id, notes={"preview_path": order.preview_key})
        await announce(connection, _news(order, order.preview_key))
    return path in (None, order.preview_key)


async def shown(connection: Connection, order: Order) -> str | None:
    """The place of the preview that is shown until this transaction ends."""
    path: str | None = await connection.fetchval(_SHOWN, order.segment_id)
    return path


async def withdraw(connection: Connection, order: Order) -> None:
    """Show this attempt's preview no more; the caller holds the run's lock."""
    if await shown(connection, order) == order.preview_key:
        await note_segment(connection, order.segment_id, notes={"preview_path": None})
        await announce(connection, _news(order, None))


async def replace(connection: Connection, order: Order) -> None:
    """Withdraw this attempt's preview and look for another; the caller holds the run's lock."""
    if await shown(connection, order) == order.preview_key:
        await withdraw(connection, order)
        await storage.ask_other_previews(connection, order.segment_id, order.attempt_id)


def _news(order: Order, path: str | None) -> SegmentPreviewed:
    return SegmentPreviewed(
        run_id=order.run_id, segment_id=order.segment_id, attempt_id=order.attempt_id, preview_path=path
    )
