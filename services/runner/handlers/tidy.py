"""What nobody looked after: segments that were asked for and forgotten, runs that wait for a lost message."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from libs.common import metrics
from libs.common.database import Channel, Connection, Database
from libs.common.events import SegmentFailed, SegmentRequested
from libs.common.lifecycle import move_segment, note_segment
from libs.common.metrics import Metric
from libs.common.outbox import announce
from services.runner.domain.due import DEADLINE, Pace
from services.runner.handlers.steps import advance
from services.runner.storage import sweeps as storage
from services.runner.storage.sweeps import Abandoned

UNCHANGED: Final = timedelta(seconds=60)  # longer than a message takes on its worst honest way
STUCK_AFTER: Final = timedelta(minutes=30)  # operations.md §5.1
SILENT_AFTER: Final = timedelta(minutes=5)  # operations.md §5.1
DEADLINE_PASSED: Final = "deadline_passed"


@dataclass(frozen=True, slots=True)
class Tidiness:
    """How long nothing must have happened before a sweep acts."""

    pace: Pace

    @property
    def unchanged(self) -> timedelta:
        return UNCHANGED * self.pace.scale


async def tidy(database: Database, tidiness: Tidiness) -> None:
    """Ask again for what was forgotten, give up what is past its deadline, take steps whose message was lost.

    Safe from several processes: each row is looked at again under its run's lock, and what is locked is left alone.
    """
    async with database.connection() as connection:  # first: asking a segment again is a change of its run
        waiting = await storage.waiting_runs(connection, tidiness.unchanged)
    for run_id in waiting:
        async with database.transaction(Channel.OUTBOX) as connection:
            if await storage.try_lock_run(connection, run_id):
                await advance(connection, tidiness.pace, run_id)
    async with database.connection() as connection:
        abandoned = await storage.abandoned_segments(connection, tidiness.unchanged)
    for segment in abandoned:
        async with database.transaction(Channel.OUTBOX) as connection:
            await _look_after(connection, tidiness, segment)


async def measure(database: Database, tidiness: Tidiness) -> None:
    """Set the gauges of runs and segments that take too long."""
    scale = tidiness.pace.scale
    async with database.connection() as connection:
        found = await storage.gauges(connection, STUCK_AFTER * scale, SILENT_AFTER * scale)
    for each in found:
        metrics.gauge(Metric.RUNS_STUCK, each.stuck, track=each.track)
        metrics.gauge(Metric.RUN_OLDEST_CREATING, each.oldest_seconds, track=each.track)
        metrics.gauge(Metric.SEGMENTS_SILENT, each.silent, track=each.track)


async def prune(database: Database) -> bool:
    """Delete what is past its time; true when there is more."""
    async with database.transaction() as connection:
        return await storage.prune(connection)


async def _look_after(connection: Connection, tidiness: Tidiness, candidate: Abandoned) -> None:
    if not await storage.try_lock_run(connection, candidate.run_id):
        return
    segment = await storage.lock_abandoned(connection, candidate.id, tidiness.unchanged)
    if segment is None:
        return
    if segment.expired:
        await _give_up(connection, tidiness.pace, segment)
    else:
        await _ask_again(connection, tidiness.pace, segment)


async def _give_up(connection: Connection, pace: Pace, segment: Abandoned) -> None:
    moved = await move_segment(connection, segment.id, "failed")
    if moved is None:
        return
    metrics.count(Metric.SEGMENTS_FINISHED, outcome="failed", provider=segment.provider or "none")
    event = SegmentFailed(
        run_id=segment.run_id,
        segment_id=segment.id,
        attempt_id=None,
        attempt_no=None,
        error_code=DEADLINE_PASSED,
        retryable=False,
    )
    await announce(connection, event)
    await advance(connection, pace, segment.run_id, error_code=DEADLINE_PASSED)


async def _ask_again(connection: Connection, pace: Pace, segment: Abandoned) -> None:
    """Say it again with the old times, so that the budget is no larger; the note keeps the next sweep off."""
    now = await connection.fetchval("SELECT clock_timestamp()")
    due = segment.due_at or now
    deadline = segment.deadline_at or now + DEADLINE * pace.scale
    await note_segment(connection, segment.id, notes={"requested_again_at": now.isoformat()})
    event = SegmentRequested(
        run_id=segment.run_id, segment_id=segment.id, segment_index=segment.index, due_at=due, deadline_at=deadline
    )
    await announce(connection, event)
