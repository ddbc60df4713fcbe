"""Takes the step after an attempt has ended: a queue row for whoever is asked next, or the verdict `failed`."""

from collections.abc import Callable
from uuid import UUID

import structlog

from libs.common.database import Connection
from libs.common.events import SegmentFailed
from libs.common.lifecycle import move_segment
from libs.common.outbox import announce
from services.generator.domain.next_step import Ask, GiveUp, Situation, Step
from services.generator.handlers.resources import Resources
from services.generator.storage import accounts, queue, segments
from services.generator.storage.segments import LockedSegment

_log = structlog.get_logger()


async def decide(
    connection: Connection,
    resources: Resources,
    segment_id: UUID,
    choose: Callable[[Situation], Step | None],
    error_code: str,
) -> Step | None:
    """Let `choose` say what follows, if anything must: nobody else is at the segment. Run and segment are locked."""
    segment = await read_segment(connection, resources, segment_id)
    if segment is None or not segment.is_idle:
        return None
    step = choose(await situation(connection, resources, segment))
    match step:
        case Ask(provider, delay_seconds):
            await queue.enqueue(connection, segment.id, provider, delay_seconds=delay_seconds)
        case GiveUp():
            await fail(connection, segment, error_code)
        case None:
            pass
    return step


async def situation(connection: Connection, resources: Resources, segment: LockedSegment) -> Situation:
    """What a decision about this segment rests on."""
    roster = resources.roster
    return Situation(
        order=roster.order,
        open_providers=await accounts.open_providers(connection, roster.account_names),
        tries=segment.tries,
        needed_soon=segment.needed_soon,
        past_deadline=segment.past_deadline,
    )


async def read_segment(connection: Connection, resources: Resources, segment_id: UUID) -> LockedSegment | None:
    """Read a locked segment with this service's idea of "soon"."""
    clock = resources.clock
    return await segments.read(
        connection, segment_id, expected_playable=clock.expected_playable, within=clock.bridge_within
    )


async def fail(connection: Connection, segment: LockedSegment, error_code: str) -> None:
    """No attempt is alive and none is left to make: status and news in this transaction."""
    moved = await move_segment(connection, segment.id, "failed", notes={"error_code": error_code})
    if moved is None:
        return
    verdict = SegmentFailed(
        run_id=segment.run_id,
        segment_id=segment.id,
        attempt_id=None,
        attempt_no=None,
        error_code=error_code,
        retryable=False,
    )
    await announce(connection, verdict)
    _log.error("segment_given_up", run_id=str(segment.run_id), segment_id=str(segment.id), error_code=error_code)
