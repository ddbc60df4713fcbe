"""What people ask of a run: to try again what failed, or (by the earlier paths) to go on."""

from uuid import UUID

from libs.common.database import Channel, Connection, Database
from libs.common.errors import Problem
from libs.common.lifecycle import lock_run, move_run, move_segment
from libs.common.run_bounds import Bounds, check_bounds, lock_user
from services.runner.domain.due import Pace
from services.runner.handlers.steps import advance, ask_for
from services.runner.storage import runs as storage
from services.runner.storage.runs import Run


async def resume(database: Database, pace: Pace, bounds: Bounds, *, run_id: UUID, user_id: UUID) -> str:
    """Give the failed segments of a user's own failed run a new budget of attempts, and return the run's status.

    Idempotent: a run that is being made takes the step it may be waiting for, a ready one is left alone. 404 unknown,
    403 another's, 429 with `Retry-After` beyond the bounds. What is alive or stored is never asked for again.
    """
    async with database.transaction(Channel.OUTBOX) as connection:
        await _check_owner(connection, run_id, user_id)
        await lock_user(connection, user_id)
        await lock_run(connection, run_id)
        run = await storage.load_run(connection, run_id)
        if run is None:
            raise Problem(404, "not_found", "There is no such run")
        if run.status == "failed" and any(each.status == "failed" for each in run.segments):
            await check_bounds(connection, bounds, user_id)
            await _begin_anew(connection, pace, run)
        await advance(connection, pace, run_id)
        resumed = await storage.load_run(connection, run_id)
    return run.status if resumed is None else resumed.status


async def go_on(database: Database, pace: Pace, *, run_id: UUID, user_id: UUID | None) -> None:
    """Take the next step of a run that is being made; an unknown id is no error, another user's run is 403."""
    async with database.transaction(Channel.OUTBOX) as connection:
        owner = await storage.run_owner(connection, run_id)
        _refuse_stranger(owner, user_id)
        if owner is not None:
            await advance(connection, pace, run_id, reopening=False)


async def go_on_with(database: Database, pace: Pace, *, segment_id: UUID, user_id: UUID | None) -> None:
    """Ask for this segment if it is its turn; the rest as `go_on`."""
    async with database.transaction(Channel.OUTBOX) as connection:
        place = await storage.segment_place(connection, segment_id)
        if place is not None:
            run_id, owner = place
            _refuse_stranger(owner, user_id)
            await advance(connection, pace, run_id, only=segment_id, reopening=False)


def _refuse_stranger(owner: UUID | None, user_id: UUID | None) -> None:
    """Nobody at all may call the earlier paths; somebody else may not."""
    if owner is not None and user_id is not None and owner != user_id:
        raise Problem(403, "forbidden", "The run belongs to another user")


async def _check_owner(connection: Connection, run_id: UUID, user_id: UUID) -> None:
    owner = await storage.run_owner(connection, run_id)
    if owner is None:
        raise Problem(404, "not_found", "There is no such run")
    _refuse_stranger(owner, user_id)


async def _begin_anew(connection: Connection, pace: Pace, run: Run) -> None:
    """Failed segments are queued with new times; the listener waits for the first that is missing."""
    missing = min(each.index for each in run.segments if each.status != "complete")
    await storage.note_resume(connection, run.id, run.now, missing)
    await move_run(connection, run.id, "creating")
    begun = await storage.load_run(connection, run.id)
    if begun is None:
        raise LookupError("the run that is locked has gone")
    listening = await storage.load_listening(connection, begun)
    for segment in run.segments:
        if segment.status == "failed" and await move_segment(connection, segment.id, "queued") is not None:
            await ask_for(connection, pace, begun, listening, segment, again=True)
