"""The steps of a run: look at its rows, ask for the next segments, and say what became of it."""

import re
from typing import Final
from uuid import UUID

from libs.common import metrics
from libs.common.database import Connection
from libs.common.events import RunFailed, RunReady, SegmentRequested
from libs.common.lifecycle import lock_run, move_run
from libs.common.metrics import Metric
from libs.common.outbox import announce
from services.runner.domain.due import Listening, Pace, deadline_at, due_at
from services.runner.domain.steps import Segment, next_step
from services.runner.storage import runs as storage
from services.runner.storage.runs import Run

UNNAMED_ERROR: Final = "segment_failed"

_ERROR_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")


async def advance(
    connection: Connection,
    pace: Pace,
    run_id: UUID,
    *,
    only: UUID | None = None,
    reopening: bool = True,
    error_code: str | None = None,
) -> None:
    """Take the step that the run's rows call for; nothing when they call for none, or there is no such run.

    Safe from any number of processes at once: the run's lock is held, and each request is written once. `only` asks
    for no other segment than this; without `reopening` a run that is not `creating` is left alone.
    """
    if not await lock_run(connection, run_id):
        return
    run = await storage.load_run(connection, run_id)
    if run is None or (run.status != "creating" and not reopening):
        return
    ttfp_seconds = await _note_first_sound(connection, run)
    step = next_step(run.status, run.strategy, run.segments)
    if step.to is not None and await move_run(connection, run_id, step.to):
        await _tell(connection, run, step.to, ttfp_seconds, error_code)
    requests = [each for each in step.requests if only is None or each.id == only]
    if requests:
        listening = await storage.load_listening(connection, run)
        for segment in requests:
            await ask_for(connection, pace, run, listening, segment)


async def ask_for(
    connection: Connection, pace: Pace, run: Run, listening: Listening, segment: Segment, *, again: bool = False
) -> None:
    """Write when the segment is wanted and announce it, unless that was done; `again` after a resume."""
    due = due_at(listening, segment.index, run.segments, pace)
    deadline = deadline_at(run.now, due, pace)
    asked = await storage.request(connection, segment.id, requested_at=run.now, due=due, deadline=deadline, again=again)
    if asked:
        event = SegmentRequested(
            run_id=run.id, segment_id=segment.id, segment_index=segment.index, due_at=due, deadline_at=deadline
        )
        await announce(connection, event)


async def _note_first_sound(connection: Connection, run: Run) -> float | None:
    """Keep and measure the run's time to first sound, once."""
    known: float | None = run.metadata.get("ttfp_seconds")
    if known is not None:
        return known
    at = await storage.first_sound_at(connection, run) if run.was_asked_for else None
    if at is None:
        return None
    seconds = max(0.0, (at - run.created_at).total_seconds())
    if await storage.note_ttfp(connection, run.id, seconds):
        metrics.observe(Metric.RUN_TTFP, seconds, track=run.track)
    return seconds


async def _tell(connection: Connection, run: Run, to: str, ttfp_seconds: float | None, error_code: str | None) -> None:
    """Announce and measure what a run became; being opened again is no news, its next segment is."""
    if to == "creating":
        return
    metrics.count(Metric.RUNS_FINISHED, track=run.track, outcome=to)
    if to == "failed":
        code = error_code or await storage.last_error(connection, run.id) or UNNAMED_ERROR
        await announce(connection, _failed(run, code if _ERROR_CODE.fullmatch(code) else UNNAMED_ERROR))
        return
    ready_seconds = max(0.0, (run.now - run.created_at).total_seconds())
    metrics.observe(Metric.RUN_READY, ready_seconds, track=run.track)
    event = RunReady(
        run_id=run.id,
        segments_count=len(run.segments),
        duration_seconds=await storage.duration_seconds(connection, run.id),
        ttfp_seconds=ttfp_seconds,
        ready_seconds=ready_seconds,
    )
    await announce(connection, event)


def _failed(run: Run, error_code: str) -> RunFailed:
    complete = sum(each.status == "complete" for each in run.segments)
    return RunFailed(run_id=run.id, segments_complete=complete, segments_count=len(run.segments), error_code=error_code)
