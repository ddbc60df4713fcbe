"""The statements of a claim beside the queue's: a free slot, the account on probation, the attempt. One transaction."""

from typing import Final
from uuid import UUID

import asyncpg

from libs.common.database import Connection

# The slot that has been free longest, so that several accounts add up; one that somebody else looks at is passed over.
_PICK_SLOT: Final = """
SELECT s.account, s.slot_no, a.quota_window, a.user_cap,
  a.close_reason IS NOT NULL OR a.max_in_flight IS NOT NULL AS guarded
FROM quota_slots s JOIN quota_accounts a USING (account)
WHERE a.account = ANY ($1) AND a.closed_until <= clock_timestamp() AND s.slot_no <= a.slots_allowed
  AND s.free_at <= clock_timestamp()
  AND (a.max_in_flight IS NULL OR a.max_in_flight > (SELECT count(*) FROM segment_attempts t
       WHERE t.account = a.account AND t.alive AND t.rank <= 3))
ORDER BY s.free_at, s.account, s.slot_no LIMIT 1 FOR UPDATE OF s SKIP LOCKED
"""
# Only for accounts on probation or with a bound in flight: the row lock makes both exact, one claim after the other.
_LOCK_ACCOUNT: Final = "SELECT account FROM quota_accounts WHERE account = $1 FOR UPDATE"
_ADMIT: Final = """
UPDATE quota_accounts a SET closed_until =
  CASE WHEN close_reason IS NULL THEN closed_until ELSE clock_timestamp() + probe_every END
WHERE a.account = $1 AND a.closed_until <= clock_timestamp()
  AND (a.max_in_flight IS NULL OR a.max_in_flight > (SELECT count(*) FROM segment_attempts t
       WHERE t.account = a.account AND t.alive AND t.rank <= 3))
RETURNING a.account
"""
_INSERT_ATTEMPT: Final = """
INSERT INTO segment_attempts (segment_id, user_id, attempt_no, provider, account, slot_no, bridge, token_sha256, rank)
SELECT $1, $2, (SELECT coalesce(max(attempt_no), 0) + 1 FROM segment_attempts WHERE segment_id = $1),
  $3, $4, $5, $6, $7, 1
RETURNING id, attempt_no
"""
_LEASE_SLOT: Final = """
UPDATE quota_slots s SET free_at = clock_timestamp() + a.lease, attempt_id = $3 FROM quota_accounts a
WHERE a.account = s.account AND s.account = $1 AND s.slot_no = $2
"""
# A segment that is generating already keeps its status, but the newest token is the one shown.
_SHOW_TOKEN: Final = (
    "UPDATE parcours_segments SET callback_token = $2 WHERE id = $1 AND status IN ('generating', 'first')"  # noqa: S105 - a statement
)


async def pick_slot(connection: Connection, accounts: list[str]) -> asyncpg.Record | None:
    """Lock a free slot: account, slot_no, quota_window, user_cap, guarded."""
    return await connection.fetchrow(_PICK_SLOT, accounts)


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
    await connection.execute(_LEASE_SLOT, account, slot_no, row["id"])
    return row


async def show_token(connection: Connection, segment_id: UUID, token: UUID) -> None:
    """Put the newest token into the public column."""
    await connection.execute(_SHOW_TOKEN, segment_id, token)
