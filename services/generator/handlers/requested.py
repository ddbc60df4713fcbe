"""A segment is wanted: one queue row, unless somebody is at it already (§4.2 step 1)."""

from libs.common.database import Connection
from libs.common.events import SegmentRequested
from services.generator.domain.next_step import first_choice
from services.generator.handlers.decision import read_segment
from services.generator.handlers.resources import Resources
from services.generator.storage import accounts, queue, segments


async def segment_requested(connection: Connection, event: SegmentRequested, *, resources: Resources) -> None:
    """Queue the segment for the first provider that is open; a repeated request changes nothing."""
    if not await segments.lock(connection, event.run_id, event.segment_id):
        return
    segment = await read_segment(connection, resources, event.segment_id)
    if segment is None or not segment.is_idle:
        return
    roster = resources.roster
    open_ones = await accounts.open_providers(connection, roster.account_names)
    await queue.enqueue(connection, segment.id, first_choice(roster.order, open_ones).name)
