"""The statements of a claim: a free slot and the most urgent row, the account on probation, the attempt."""

from typing import Final
from uuid import UUID

import asyncpg

from libs.common.database import Connection

# A free slot and, unless its account is guarded, the most urgent row, in one round trip. The slot that has been free
# longest comes first, so that several accounts add up; one that somebody else looks at is passed over. Two index walks
# instead of one sort of the whole queue (§2.5: 1.1 ms instead of 2.6 over 4,000 rows): `fair` are people below their
# cap; `spare`: nobody below the cap is waiting, so that the slot is not wasted.
_SLOT: Final = """
  SELECT s.account, s.slot_no, a.quota_window, a.user_cap,
    a.close_reason IS NOT NULL OR a.max_in_flight IS NOT NULL AS guarded
  FROM quota_slots s JOIN quota_accounts a USING (account)
  WHERE a.account = ANY ($1) AND greatest(a.closed_until, a.frozen_until) <= clock_timestamp()
    AND s.slot_no <= a.slots_allowed
    AND s.free_at <= clock_timestamp()
    AND (a.max_in_flight IS NULL OR a.max_in_flight > attempts_in_flight(a.account))
  ORDER BY s.free_at, s.account, s.slot_no LIMIT 1 FOR UPDATE OF s SKIP LOCKED
"""
_TAKE: Final = """
capped AS MATERIALIZED (
  SELECT user_id FROM segment_attempts WHERE (SELECT user_cap FROM slot) IS NOT NULL
    AND dispatched_at > clock_timestamp() - (SELECT quota_window FROM slot)
  GROUP BY user_id HAVING count(*) >= (SELECT user_cap FROM slot)),
fair AS MATERIALIZED (
  SELECT q.segment_id FROM generation_queue q
  WHERE EXISTS (SELECT FROM slot WHERE NOT guarded)
    AND q.provider = $2 AND q.track = ANY ($3) AND q.not_before <= clock_timestamp()
    AND NOT EXISTS (SELECT FROM capped c WHERE c.user_id = q.user_id)
  ORDER BY q.due_at, q.segment_index, q.enqueued_at LIMIT 1 FOR UPDATE OF q SKIP LOCKED),
spare AS MATERIALIZED (
  SELECT q.segment_id FROM generation_queue q
  WHERE EXISTS (SELECT FROM slot WHERE NOT guarded) AND NOT EXISTS (SELECT FROM fair)
    AND q.provider = $2 AND q.track = ANY ($3) AND q.not_before <= clock_timestamp()
  ORDER BY q.due_at, q.segment_index, q.enqueued_at LIMIT 1 FOR UPDATE OF q SKIP LOCKED),
taken AS (
  DELETE FROM generation_queue q USING (TABLE fair UNION ALL TABLE spare) p WHERE q.segment_id = p.segment_id
  RETURNING q.segment_id, q.run_id, q.bridge)
SELECT slot.account, slot.slot_no, slot.guarded, taken.segment_id, taken.run_id, taken.bridge
FROM slot LEFT JOIN taken ON true
"""
_PICK: Final = f"WITH slot AS MATERIALIZED ({_SLOT}), {_TAKE}"
# The same for a slot that is locked already.
_HELD: Final = "SELECT s.account, s.slot_no, a.quota_window, a.user_cap, false AS guarded FROM quota_slots s"
_PICK_FOR: Final = f"""
WITH slot AS MATERIALIZED ({_HELD} JOIN quota_accounts a USING (account) WHERE s.account = $1 AND s.slot_no = $4),
{_TAKE}
"""
# Only for accounts on probation or with a bound in flight: the row lock makes both exact, one claim after the other.
_LOCK_ACCOUNT: Final = "SELECT account FROM quota_accounts WHERE account = $1 FOR UPDATE"
_ADMIT: Final = """
UPDATE quota_accounts a SET closed_until =
  CASE WHEN close_reason IS NULL THEN closed_until ELSE clock_timestamp() + probe_every END
WHERE a.account = $1 AND a.closed_until <= clock_timestamp()
  AND (a.max_in_flight IS NULL OR a.max_in_flight > attempts_in_flight(a.account))
RETURNING a.account
"""
_INSERT_ATTEMPT: Final = """
WITH attempt AS (
  INSERT INTO segment_attempts
    (segment_id, user_id, attempt_no, provider, account, slot_no, bridge, token_sha256, rank, facts)
  SELECT $1, $2, (SELECT coalesce(max(attempt_no), 0) + 1 FROM segment_attempts WHERE segment_id = $1),
    $3, $4, $5, $6, $7, 1, coalesce((SELECT jsonb_build_object('credits_before', balance)
                                     FROM quota_accounts WHERE account = $4 AND balance IS NOT NULL), '{}')
  RETURNING id, attempt_no)
UPDATE quota_slots s SET free_at = clock_timestamp() + a.lease, attempt_id = attempt.id FROM quota_accounts a, attempt
WHERE a.account = s.account AND s.account = $4 AND s.slot_no = $5 RETURNING attempt.id, attempt.attempt_no
"""
# A segment that is generating already keeps its status, but the newest token is the one shown.
_SHOW_TOKEN: Final = (
    "UPDATE parcours_segments SET callback_token = $2 WHERE id = $1 AND status IN ('generating', 'first')"  # noqa: S105 - a statement
)


async def pick(connection: Connection, accounts: list[str], provider: str, tracks: list[str]) -> asyncpg.Record | None:
    """Lock a free slot and take the row to be served next from the queue; rows others look at are passed over.

    account, slot_no, guarded; segment_id, run_id, bridge, null when nothing is due or the account is guarded: then
    `admit` comes before `pick_for`, since accounts are locked before rows of the queue.
    """
    return await connection.fetchrow(_PICK, accounts, provider, tracks)


async def pick_for(
    connection: Connection, slot: asyncpg.Record, provider: str, tracks: list[str]
) -> asyncpg.Record | None:
    """Take the row to be served next for a slot that this transaction has locked; the same columns."""
    return await connection.fetchrow(_PICK_FOR, slot["account"], provider, tracks, slot["slot_no"])


async def admit(connection: Connection, account: str) -> bool:
    """Look at a guarded account again under its lock; a call on probation pushes `closed_until` by one probe."""
    await connection.execute(_LOCK_ACCOUNT, account)
    return await connection.fetchval(_ADMIT, account) is not None


async def insert_attempt(
    connection: Connection,
    *,
    segment_id: UUID,
    user_id: UUID,
    provider: str,
    account: str,
    slot_no: int,
    bridge: bool,
    token_sha256: bytes,
) -> asyncpg.Record:
    """Write the attempt and give it the slot for a lease: id, attempt_no."""
    row = await connection.fetchrow(
        _INSERT_ATTEMPT, segment_id, user_id, provider, account, slot_no, bridge, token_sha256
    )
    if row is None:
        raise LookupError("an INSERT without RETURNING row")
    return row


async def show_token(connection: Connection, segment_id: UUID, token: UUID) -> None:
    """Put the newest token into the public column."""
    await connection.execute(_SHOW_TOKEN, segment_id, token)
