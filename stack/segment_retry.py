"""Asks for a segment anew on an operator's word: what stands in its way, what is given up for it, and the request."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from libs.common.database import Channel, Connection, Database
from libs.common.events import SegmentRequested
from libs.common.lifecycle import lock_run, move_run, move_segment
from libs.common.outbox import announce
from services.generator.domain.verdicts import load
from stack.errors import StackError

_RANKS: Final = {1: "sent", 2: "accepted", 3: "playable", 5: "delivered"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a retry did, or why it did nothing."""

    done: bool
    said: list[str]


async def retry_segment(database: Database, segment_id: UUID, *, force: bool) -> Outcome:
    """Give up what is alive, if that is allowed, and let the segment be requested anew."""
    async with database.transaction(Channel.OUTBOX, Channel.QUEUE) as connection:
        # Rows of the queue are locked before runs, here as in a claim.
        queued_for = await connection.fetchval(_QUEUED, segment_id)
        run_id = await connection.fetchval("SELECT run_id FROM parcours_segments WHERE id = $1", segment_id)
        if run_id is None or not await lock_run(connection, run_id):
            raise StackError(f"there is no segment {segment_id}")
        row = await connection.fetchrow(_SEGMENT, segment_id)
        if row is None:
            raise StackError(f"there is no segment {segment_id}")
        live = list(await connection.fetch(_LIVE, segment_id))
        refusal = _refusal(row["status"], live, queued_for, force=force)
        if refusal is not None:
            return Outcome(done=False, said=[f"refused: {refusal}"])
        return Outcome(done=True, said=await _ask_anew(connection, run_id, row, live))


def _refusal(status: str, live: list[asyncpg.Record], queued_for: str | None, *, force: bool) -> str | None:
    if status == "complete":
        return "the segment is complete; what is stored is never made again"
    paid = [attempt for attempt in live if _is_paid(attempt["provider"])]
    if paid and not force:
        named = ", ".join(_named(attempt) for attempt in paid)
        return f"{named} is alive and may have been paid; --force gives it up and may pay twice"
    if queued_for is not None and not force:
        return f"it waits for a slot of {queued_for} already; --force asks anew at once"
    return None


async def _ask_anew(connection: Connection, run_id: UUID, row: asyncpg.Record, live: list[asyncpg.Record]) -> list[str]:
    said = []
    for attempt in live:
        twice = _is_paid(attempt["provider"])
        await connection.execute(_GIVE_UP, attempt["id"], twice)
        said.append(f"gave up {_named(attempt)}" + (": it may be paid twice, which is noted" if twice else ""))
    await connection.execute("DELETE FROM generation_queue WHERE segment_id = $1", row["id"])
    if row["status"] == "failed":
        await move_segment(connection, row["id"], "queued")
        failed = "SELECT EXISTS (SELECT FROM parcours_segments WHERE run_id = $1 AND status = 'failed')"
        if not await connection.fetchval(failed, run_id):
            await move_run(connection, run_id, "creating")
    times = await connection.fetchrow(_REQUEST, row["id"])
    if times is None:
        raise LookupError("the segment that is locked has gone")
    wanted = SegmentRequested(run_id=run_id, segment_id=row["id"], segment_index=row["segment_index"], **dict(times))
    await announce(connection, wanted)
    until = f"{times['deadline_at']:%H:%M:%S} UTC"
    return [*said, f"segment {row['segment_index']} of run {run_id} is requested anew, until {until}"]


def _is_paid(provider: str) -> bool:
    """Whether a call costs money; a provider that this version does not know is taken for paid."""
    try:
        return bool(load(provider)["paid"])
    except FileNotFoundError:
        return True


def _named(attempt: asyncpg.Record) -> str:
    state = _RANKS.get(attempt["rank"], str(attempt["rank"]))
    return f"attempt {attempt['attempt_no']} at {attempt['provider']} ({state})"


_QUEUED = "SELECT provider FROM generation_queue WHERE segment_id = $1 FOR UPDATE"
_SEGMENT = "SELECT id, status, segment_index FROM parcours_segments WHERE id = $1 FOR NO KEY UPDATE"
_LIVE = """
SELECT id, attempt_no, provider, rank FROM segment_attempts WHERE segment_id = $1 AND alive ORDER BY attempt_no
FOR NO KEY UPDATE
"""
# Its token stays good: should its music come after all, whichever is stored first is the segment's.
_GIVE_UP = """
UPDATE segment_attempts SET gave_up_rank = rank, finished_at = coalesce(finished_at, clock_timestamp()),
  error_code = coalesce(error_code, 'operator'), facts = facts || '{"given_up_by": "operator"}'
    || CASE WHEN $2 THEN '{"possible_double_charge": true}'::jsonb ELSE '{}' END
WHERE id = $1
"""
# As a resume does it: a new budget of attempts, needed now, with as much time as it was given before.
_REQUEST = """
UPDATE parcours_segments SET requested_at = clock_timestamp(), due_at = clock_timestamp(),
  deadline_at = clock_timestamp() + coalesce(deadline_at - greatest(requested_at, due_at), interval '30 min')
WHERE id = $1 RETURNING due_at, deadline_at
"""
